//! The catalog queries that psql sends, planned and run over stand-in catalogs: empty tables with the right columns,
//! and functions that know nothing.

use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, StringArray, new_null_array};
use arrow::datatypes::{DataType, Field, Schema};
use datafusion::common::ScalarValue;

use crate::testing_catalog::{MemoryCatalog, MemoryTable, run};
use crate::{RelationKind, SqlError, SqlType, SystemFunction};

#[derive(Debug)]
struct Ignorant {
    name: String,
    arguments: Vec<SqlType>,
    result: SqlType,
}

impl SystemFunction for Ignorant {
    fn name(&self) -> &str {
        &self.name
    }

    fn arguments(&self) -> Vec<SqlType> {
        self.arguments.clone()
    }

    fn result(&self) -> SqlType {
        self.result.clone()
    }

    fn call(&self, _arguments: &[ArrayRef], row_count: usize) -> Result<ArrayRef, SqlError> {
        Ok(match self.result.data_type() {
            DataType::Boolean => Arc::new(BooleanArray::from(vec![true; row_count])),
            DataType::Utf8 => Arc::new(StringArray::from(vec!["?"; row_count])),
            DataType::UInt32 => Arc::new(arrow::array::UInt32Array::from(vec![16_384; row_count])),
            other => new_null_array(other, row_count),
        })
    }
}

fn sql_type(name: &str) -> SqlType {
    SqlType::from_name(name.trim_end_matches('?')).unwrap_or_else(|| panic!("no type {name}"))
}

/// Each table with one row of plain values, so that subqueries are evaluated.
fn catalog() -> MemoryCatalog {
    let mut catalog = MemoryCatalog::default();
    for line in include_str!("psql/tables.txt").lines() {
        let (name, columns) = line.split_once(": ").expect("a name and columns");
        let fields: Vec<Field> = columns
            .split(", ")
            .map(|c| {
                let (name, of) = c.split_once(' ').expect("a name and a type");
                sql_type(of).field(name, true)
            })
            .collect();
        let columns: Vec<ArrayRef> = fields.iter().map(|f| one_value(f.data_type())).collect();
        let schema = Arc::new(Schema::new(fields));
        let rows = arrow::array::RecordBatch::try_new(Arc::clone(&schema), columns).expect("a row");
        let read = Arc::new(MemoryTable { rows, unique_key: None });
        catalog.add(name, schema, RelationKind::System, Some(read), None);
    }
    for line in include_str!("psql/functions.txt").lines() {
        let (name, rest) = line.split_once('(').expect("a name");
        let (arguments, result) = rest.split_once(") ").expect("a result");
        let arguments = arguments.split_whitespace().map(sql_type).collect();
        let function = Ignorant { name: name.to_owned(), arguments, result: sql_type(result) };
        catalog.functions.push(Arc::new(function));
    }
    catalog
}

fn one_value(data_type: &DataType) -> ArrayRef {
    let value = match data_type {
        DataType::Utf8 => ScalarValue::Utf8(Some("r".to_owned())),
        DataType::UInt32 => ScalarValue::UInt32(Some(16_384)),
        DataType::Int16 => ScalarValue::Int16(Some(1)),
        DataType::Int32 => ScalarValue::Int32(Some(1)),
        DataType::Boolean => ScalarValue::Boolean(Some(false)),
        other => ScalarValue::try_from(other).expect("a NULL"),
    };
    value.to_array().expect("an array")
}

#[test]
fn all_catalog_queries_of_psql_run() {
    let catalog = catalog();
    let mut failures = Vec::new();
    let statements = crate::parse(include_str!("psql/queries.sql")).expect("the queries parse");
    assert!(statements.len() > 30, "there are {} queries", statements.len());
    for statement in statements {
        if let Err(error) = run(&catalog, &statement.text, &[]) {
            failures.push(format!("{} {} at {:?}\n{}", error.sqlstate, error.message, error.position, statement.text));
        }
    }
    assert!(failures.is_empty(), "{} failed:\n{}", failures.len(), failures.join("\n\n"));
}

#[test]
fn subqueries_that_are_no_joins_are_run_for_each_row() {
    let mut catalog = MemoryCatalog::default();
    catalog.table("t", "id int, a int[]", "(1, '{10,11}'), (2, '{}'), (3, NULL)", None);
    catalog.table("u", "id int, s text", "(1, 'x'), (1, 'y'), (2, 'z')", None);
    let check = |text: &str, expected: &str| {
        assert_eq!(crate::testing_catalog::show(&catalog, text), expected, "{text}");
    };
    check(
        "SELECT id, ARRAY(SELECT s FROM u WHERE u.id = t.id ORDER BY 1) AS l FROM t ORDER BY 1",
        "id:integer|l:text[]\n1|[x, y]\n2|[z]\n3|[]",
    );
    check(
        "SELECT id, (SELECT s FROM u WHERE u.id = t.id AND s > 'x') AS s FROM t ORDER BY 1",
        "id:integer|s:text\n1|y\n2|z\n3|NULL",
    );
    check(
        "SELECT (SELECT s FROM u WHERE u.id = t.id) FROM t",
        "21000: more than one row returned by a subquery used as an expression",
    );
    check(
        "SELECT id, (SELECT count(*) FROM unnest(a) AS x WHERE x > 10) AS n FROM t ORDER BY 1",
        "id:integer|n:bigint\n1|1\n2|0\n3|0",
    );
    check(
        "SELECT id, EXISTS (SELECT 1 FROM u WHERE u.id = t.id) AS e FROM t ORDER BY 1",
        "id:integer|e:boolean\n1|true\n2|true\n3|false",
    );
    check(
        "SELECT id, o.n FROM t CROSS JOIN LATERAL (SELECT id + 1) AS o(n) WHERE o.n > 2 ORDER BY 1",
        "id:integer|n:integer\n2|3\n3|4",
    );
    check(
        "SELECT option_name, option_value FROM pg_options_to_table(ARRAY['a=b=c', 'd'])",
        "option_name:text|option_value:text\na|b=c\nd|NULL",
    );
    check("SELECT x, n FROM unnest(ARRAY['a', 'b']) WITH ORDINALITY AS q(x, n)", "x:text|n:bigint\na|1\nb|2");
    check("SELECT g FROM generate_series(1, 5, 2) g", "g:integer\n1\n3\n5");
    check("SELECT id FROM t WHERE 11 = ANY (a)", "id:integer\n1");
    check("SELECT id FROM t WHERE a = '{}'", "id:integer\n2");
}
