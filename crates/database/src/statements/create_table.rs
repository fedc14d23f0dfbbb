//! CREATE TABLE.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch};
use arrow::datatypes::DataType;
use changelog::ChangeBatch;
use functions::CastTarget;
use functions::scalar::cast_column;
use functions::text_format::Clock;
use sql::{SqlType, ast};

use super::options::{bool_value, unknown_option, with_options};
use super::rows::{as_table_rows, collect};
use super::{begin_catalog_change, done};
use crate::catalog::{CatalogChange, Column, Definition, Kind, Live, PrimaryKey, Relation};
use crate::database::Database;
use crate::session::{Session, StatementCatalog};
use crate::table::{Table, table_state_id};
use crate::{DatabaseError, Outcome, Severity};

pub(super) async fn execute(session: &mut Session, create: &ast::CreateTable) -> Result<Outcome, DatabaseError> {
    refuse_unknown(create)?;
    begin_catalog_change(session, "CREATE TABLE").await?;
    if place(session, create)?.is_none() {
        return skipped(session, create);
    }
    // CREATE TABLE AS: the rows come first, so that one that fails leaves nothing.
    let filled_by = match &create.query {
        Some(query) => {
            let plan = sql::plan_query(query, &session.statement_catalog()?, &[])?;
            let rows = collect(session, &plan, &[]).await?;
            Some((plan, rows))
        }
        None => None,
    };
    let database = Arc::clone(&session.database);
    let _change = database.catalog_lock.lock().await;
    let Some((schema, name)) = place(session, create)? else { return skipped(session, create) };
    let catalog = session.statement_catalog()?;
    let mut columns = match &filled_by {
        Some((query, _)) => columns_of_query(create, query)?,
        None => create.columns.iter().map(|c| column(c, &catalog)).collect::<Result<Vec<_>, _>>()?,
    };
    check_columns(&columns)?;
    let primary_key = primary_key(session, create, &name, &mut columns)?;
    if filled_by.is_some() && primary_key.is_some() {
        return Err(DatabaseError::unsupported("a primary key in CREATE TABLE AS"));
    }
    let append_only = append_only(create)?;
    let definition = Definition {
        oid: database.new_oid(),
        type_oid: database.new_oid(),
        schema,
        name,
        columns,
        kind: Kind::Table { primary_key, append_only },
        depends_on: Vec::new(),
        comment: None,
        owner: session.instance()?.options().superuser.clone(),
    };
    let table = database.open_table(&definition)?;
    let relation = Arc::new(Relation {
        oid: definition.oid,
        columns: definition.arrow_schema()?,
        live: Live::Table(Arc::clone(&table)),
        definition: Arc::new(definition),
    });
    let mut tag = "CREATE TABLE".to_owned();
    let made = async {
        if let Some((_, rows)) = &filled_by {
            tag = format!("SELECT {}", rows.num_rows());
            fill(&database, &relation, &table, rows).await?;
        }
        database.change_catalog(&[CatalogChange::PutRelation(Arc::clone(&relation))])
    };
    match made.await {
        Ok(()) => Ok(Outcome::Done { tag }),
        Err(error) => {
            database.state_tables.remove(table_state_id(relation.oid));
            Err(error)
        }
    }
}

/// The new table's schema and name; none if there is such a relation and that is fine.
fn place(session: &Session, create: &ast::CreateTable) -> Result<Option<(u32, String)>, DatabaseError> {
    let catalog = session.statement_catalog()?;
    let (schema, name) = catalog.creation_place(&sql::name_parts(&create.name))?;
    if create.if_not_exists && catalog.snapshot.relation_named(schema, &name).is_some() {
        return Ok(None);
    }
    catalog.snapshot.check_name_free(schema, &name)?;
    Ok(Some((schema, name)))
}

fn skipped(session: &mut Session, create: &ast::CreateTable) -> Result<Outcome, DatabaseError> {
    let name = sql::name_parts(&create.name).pop().unwrap_or_default();
    session.notice(Severity::Notice, "42P07", format!("relation \"{name}\" already exists, skipping"));
    Ok(done("CREATE TABLE"))
}

/// CREATE TABLE AS: the query's rows are durable before the table is in the catalog, which makes both at once visible.
/// Rows of a table that is not in the catalog are forgotten by a restart.
async fn fill(
    database: &Database,
    relation: &Relation,
    table: &Arc<Table>,
    rows: &RecordBatch,
) -> Result<(), DatabaseError> {
    let described = relation.to_sql(&database.catalog());
    let columns = rows.columns().iter().zip(described.columns.fields());
    let columns = columns.map(|(column, field)| in_free_digits(column, field.data_type()));
    let rows = as_table_rows(&described, &columns.collect::<Result<Vec<_>, _>>()?)?;
    if rows.num_rows() == 0 {
        return Ok(());
    }
    let changes = vec![ChangeBatch::insertions(rows)];
    let epoch = database.clock.stage(vec![(Arc::clone(table), changes)], None).await?;
    database.clock.progress().wait(epoch).await
}

/// A query's numerics have the digits that they were computed with, a table's column takes any.
fn in_free_digits(column: &ArrayRef, wanted: &DataType) -> Result<ArrayRef, DatabaseError> {
    if column.data_type() == wanted {
        return Ok(Arc::clone(column));
    }
    let cast = cast_column(column, &CastTarget::new(wanted.clone()), &Clock::default());
    cast.map_err(|error| DatabaseError::new(error.sqlstate.as_str(), error.message))
}

fn columns_of_query(create: &ast::CreateTable, query: &sql::QueryPlan) -> Result<Vec<Column>, DatabaseError> {
    if create.columns.len() > query.schema().fields().len() {
        return Err(DatabaseError::new("42601", "too many column names were specified"));
    }
    let mut columns: Vec<Column> = query.schema().fields().iter().map(|field| Column::from_field(field)).collect();
    for (column, named) in columns.iter_mut().zip(&create.columns) {
        column.name = sql::identifier(&named.name);
    }
    for (column, field) in columns.iter_mut().zip(query.schema().fields()) {
        column.type_text = SqlType::from_field(field).name();
        column.nullable = true;
    }
    Ok(columns)
}

/// What we would otherwise ignore in silence.
fn refuse_unknown(create: &ast::CreateTable) -> Result<(), DatabaseError> {
    let refused = [
        (create.temporary, "CREATE TEMPORARY TABLE"),
        (create.external, "CREATE EXTERNAL TABLE"),
        (create.or_replace, "CREATE OR REPLACE TABLE"),
        (create.like.is_some(), "CREATE TABLE … LIKE"),
        (create.partition_by.is_some(), "PARTITION BY"),
        (create.inherits.is_some(), "INHERITS"),
    ];
    match refused.iter().find(|(found, _)| *found) {
        Some((_, what)) => Err(DatabaseError::unsupported(what)),
        None => Ok(()),
    }
}

/// A column of the statement. Its constraints other than PRIMARY KEY are in it.
pub(super) fn column(column: &ast::ColumnDef, catalog: &StatementCatalog) -> Result<Column, DatabaseError> {
    let column_type = SqlType::from_ast(&column.data_type)?;
    let mut made = Column {
        name: sql::identifier(&column.name),
        type_text: column_type.name(),
        nullable: true,
        default: None,
        comment: None,
    };
    for option in &column.options {
        match &option.option {
            ast::ColumnOption::Null => {}
            ast::ColumnOption::NotNull => made.nullable = false,
            ast::ColumnOption::Default(expression) => {
                sql::check_default(expression, &column_type, catalog)?;
                made.default = Some(expression.to_string());
            }
            ast::ColumnOption::PrimaryKey(_) => made.nullable = false,
            ast::ColumnOption::Unique(_) => return Err(DatabaseError::unsupported("UNIQUE")),
            ast::ColumnOption::ForeignKey(_) => return Err(DatabaseError::unsupported("FOREIGN KEY")),
            ast::ColumnOption::Check(_) => return Err(DatabaseError::unsupported("CHECK")),
            other => return Err(DatabaseError::unsupported(other)),
        }
    }
    Ok(made)
}

/// Fails for a table without columns, or with two of one name.
pub(super) fn check_columns(columns: &[Column]) -> Result<(), DatabaseError> {
    const COLUMNS_MAX: usize = 1600;
    if columns.is_empty() {
        return Err(DatabaseError::unsupported("a table without columns"));
    }
    if columns.len() > COLUMNS_MAX {
        return Err(DatabaseError::new("54011", format!("tables can have at most {COLUMNS_MAX} columns")));
    }
    for (place, column) in columns.iter().enumerate() {
        if columns[..place].iter().any(|earlier| earlier.name == column.name) {
            let message = format!("column \"{}\" specified more than once", column.name);
            return Err(DatabaseError::new("42701", message));
        }
    }
    Ok(())
}

fn primary_key(
    session: &Session,
    create: &ast::CreateTable,
    table: &str,
    columns: &mut [Column],
) -> Result<Option<PrimaryKey>, DatabaseError> {
    let mut found: Vec<(Option<String>, Vec<String>)> = Vec::new();
    for column in &create.columns {
        for option in &column.options {
            if matches!(option.option, ast::ColumnOption::PrimaryKey(_)) {
                found.push((option.name.as_ref().map(sql::identifier), vec![sql::identifier(&column.name)]));
            }
        }
    }
    for constraint in &create.constraints {
        let ast::TableConstraint::PrimaryKey(key) = constraint else {
            return Err(DatabaseError::unsupported(constraint));
        };
        let mut names = Vec::new();
        for column in &key.columns {
            match &column.column.expr {
                ast::Expr::Identifier(name) => names.push(sql::identifier(name)),
                other => return Err(DatabaseError::new("42601", format!("\"{other}\" is not a column"))),
            }
        }
        found.push((key.name.as_ref().map(sql::identifier), names));
    }
    let Some((name, names)) = found.pop() else { return Ok(None) };
    if !found.is_empty() {
        let message = format!("multiple primary keys for table \"{table}\" are not allowed");
        return Err(DatabaseError::new("42P16", message));
    }
    let mut places: Vec<usize> = Vec::new();
    for name in &names {
        let place = columns
            .iter()
            .position(|column| column.name == *name)
            .ok_or_else(|| DatabaseError::new("42703", format!("column \"{name}\" named in key does not exist")))?;
        if places.contains(&place) {
            let message = format!("column \"{name}\" appears twice in primary key constraint");
            return Err(DatabaseError::new("42701", message));
        }
        columns[place].nullable = false;
        places.push(place);
    }
    Ok(Some(PrimaryKey {
        name: name.unwrap_or_else(|| format!("{table}_pkey")),
        index_oid: session.database.new_oid(),
        constraint_oid: session.database.new_oid(),
        columns: places,
    }))
}

fn append_only(create: &ast::CreateTable) -> Result<bool, DatabaseError> {
    let mut append_only = false;
    for (name, value) in with_options(&create.table_options)? {
        match name.as_str() {
            "append_only" => append_only = bool_value(&name, &value)?,
            "fillfactor" => {}
            _ => return Err(unknown_option(&name)),
        }
    }
    Ok(append_only)
}
