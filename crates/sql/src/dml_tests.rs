//! Writes planned over tables in memory.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int32Array, RecordBatch, StringArray};
use futures::StreamExt;
use state::EpochPins;

use crate::testing_catalog::{MemoryCatalog, context, lines};
use crate::{OnConflict, QueryPlan, SqlError, Statement, ast, plan_copy, plan_delete, plan_insert, plan_update};

fn catalog() -> MemoryCatalog {
    let mut catalog = MemoryCatalog::default();
    let rows = "(1, 10, 1.50, 'one'), (2, 20, 2.25, 'two')";
    catalog.table("t", "id int not null, a bigint, n numeric(10,2), s varchar(5)", rows, Some(vec![0]));
    catalog
}

fn statement(text: &str) -> ast::Statement {
    let parsed = crate::parse(text).expect("parses");
    match &parsed[0].statement {
        Statement::Standard(statement) => statement.as_ref().clone(),
        other => panic!("{other:?}"),
    }
}

fn rows(plan: &QueryPlan, parameters: &[ArrayRef]) -> Result<Vec<String>, SqlError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("runtime");
    runtime.block_on(async {
        let mut stream = plan.run(parameters, EpochPins::new().pin(), context())?;
        let mut all = Vec::new();
        while let Some(batch) = stream.next().await {
            all.extend(lines(&batch?));
        }
        Ok(all)
    })
}

fn insert(text: &str, parameters: &[ArrayRef]) -> Result<Vec<String>, String> {
    let shown = |e: SqlError| format!("{}: {}", e.sqlstate, e.message);
    let ast::Statement::Insert(insert) = statement(text) else { panic!("no INSERT") };
    let plan = plan_insert(&insert, &catalog(), &[]).map_err(shown)?;
    rows(&plan.rows, parameters).map_err(shown)
}

#[test]
fn values_are_assigned_to_columns() {
    let ok = |lines: &[&str]| Ok(lines.iter().map(|l| (*l).to_owned()).collect::<Vec<_>>());
    assert_eq!(
        insert("INSERT INTO t VALUES (3, 30, 3.456, 'three'), (4, '40', 4, NULL)", &[]),
        ok(&["3|30|3.46|three", "4|40|4.00|NULL"])
    );
    assert_eq!(
        insert("INSERT INTO t (s, id) VALUES ('x', 7), (DEFAULT, 8)", &[]),
        ok(&["7|NULL|NULL|x", "8|NULL|NULL|NULL"])
    );
    assert_eq!(insert("INSERT INTO t SELECT id + 10, '5', a, s FROM t WHERE id = 1", &[]), ok(&["11|5|10.00|one"]));
}

#[test]
fn parameters_take_the_columns_types() {
    let ast::Statement::Insert(statement) = statement("INSERT INTO t VALUES ($1, $2, $3, $4)") else { panic!() };
    let plan = plan_insert(&statement, &catalog(), &[]).expect("plans");
    let names: Vec<_> = plan.parameters.iter().map(crate::SqlType::name).collect();
    assert_eq!(names, ["integer", "bigint", "numeric", "character varying"]);
}

#[test]
fn what_does_not_fit_is_refused() {
    let check = |text: &str, expected: &str| assert_eq!(insert(text, &[]), Err(expected.to_owned()), "{text}");
    check("INSERT INTO t VALUES (3, 1, 1, 'too long')", "22001: value too long for type character varying(5)");
    check("INSERT INTO t VALUES (true)", "42804: column \"id\" is of type integer but expression is of type boolean");
    check("INSERT INTO t VALUES ('x')", "22P02: invalid input syntax for type integer: \"x\"");
    check("INSERT INTO t (id, b) VALUES (1, 2)", "42703: column \"b\" of relation \"t\" does not exist");
    check("INSERT INTO t VALUES (1, 2, 3, 'a', 5)", "42601: INSERT has more expressions than target columns");
    check("INSERT INTO t VALUES (3000000000)", "22003: integer out of range");
    check("INSERT INTO t VALUES (1, 1, 123456789.5)", "22003: numeric field overflow");
}

#[test]
fn conflicts_see_both_rows() {
    let text = "INSERT INTO t VALUES (1, 5) ON CONFLICT (id) DO UPDATE SET a = t.a + excluded.a, s = 'new' \
                WHERE t.a < 100 RETURNING id, a * 2 AS twice";
    let ast::Statement::Insert(insert) = statement(text) else { panic!() };
    let plan = plan_insert(&insert, &catalog(), &[]).expect("plans");
    let Some(OnConflict::Update { condition, rows: new }) = &plan.on_conflict else { panic!("{plan:?}") };
    let table = plan.relation.read.as_ref().expect("rows");
    let old = table.lookup(changelog::Epoch(0), &[Arc::new(Int32Array::from(vec![1]))]).expect("the row");
    let mut columns = old.columns().to_vec();
    columns.extend(old.columns().to_vec());
    let fields: Vec<_> = old.schema().fields().iter().chain(old.schema().fields()).cloned().collect();
    let both = RecordBatch::try_new(Arc::new(arrow::datatypes::Schema::new(fields)), columns).expect("both rows");
    let run = context();
    let passes = condition.as_ref().expect("a condition").evaluate(&both, &[], &run).expect("has a value");
    assert_eq!(lines(&passes), ["true"]);
    let written = new.evaluate(&both, &[], &run).expect("has values");
    assert_eq!(lines(&written), ["1|20|1.50|new"]);
    let returned = plan.returning.as_ref().expect("RETURNING").evaluate(&written, &[], &run).expect("has values");
    assert_eq!(lines(&returned), ["1|40"]);
}

#[test]
fn updates_and_deletes_find_their_rows() {
    let text = "UPDATE t SET a = a + $1, s = upper(s) WHERE id = $2 RETURNING *";
    let ast::Statement::Update(update) = statement(text) else { panic!() };
    let plan = plan_update(&update, &catalog(), &[]).expect("plans");
    let parameters: Vec<ArrayRef> =
        vec![Arc::new(arrow::array::Int64Array::from(vec![5])), Arc::new(Int32Array::from(vec![2]))];
    assert_eq!(rows(&plan.rows, &parameters).expect("runs"), ["2|20|2.25|two|2|25|2.25|TWO"]);
    let ast::Statement::Delete(delete) = statement("DELETE FROM t WHERE s LIKE 'o%'") else { panic!() };
    let plan = plan_delete(&delete, &catalog(), &[]).expect("plans");
    assert_eq!(rows(&plan.rows, &[]).expect("runs"), ["1|10|1.50|one"]);
    let text = "DELETE FROM t USING t AS o WHERE t.id = o.id AND o.a > 15";
    let ast::Statement::Delete(delete) = statement(text) else { panic!() };
    let plan = plan_delete(&delete, &catalog(), &[]).expect("plans");
    assert_eq!(rows(&plan.rows, &[]).expect("runs"), ["2|20|2.25|two"]);
}

#[test]
fn copied_rows_get_all_columns() {
    let catalog = catalog();
    let relation = crate::Catalog::resolve(&catalog, &["t".to_owned()]).expect("the table");
    let plan = plan_copy(&relation, &[3, 0], &catalog).expect("plans");
    let schema = Arc::new(relation.columns.project(&[3, 0]).expect("columns"));
    let columns: Vec<ArrayRef> = vec![Arc::new(StringArray::from(vec!["abc"])), Arc::new(Int32Array::from(vec![9]))];
    let batch = RecordBatch::try_new(schema, columns).expect("rows");
    assert_eq!(lines(&plan.evaluate(&batch, &[], &context()).expect("has values")), ["9|NULL|NULL|abc"]);
}

#[test]
fn a_key_is_looked_up_without_a_plan() {
    let query = crate::parse_query("SELECT s, a FROM t WHERE id = $1").expect("parses");
    let plan = crate::plan_query(&query, &catalog(), &[]).expect("plans");
    assert_eq!(plan.explain(), "KeyLookup: t key=($1)");
    let key: ArrayRef = Arc::new(Int32Array::from(vec![2]));
    assert_eq!(rows(&plan, &[key]).expect("runs"), ["two|20"]);
    let none: ArrayRef = Arc::new(Int32Array::from(vec![None]));
    assert_eq!(rows(&plan, &[none]).expect("runs"), Vec::<String>::new());
}
