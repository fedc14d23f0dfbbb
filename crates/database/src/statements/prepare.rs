//! PREPARE, EXECUTE and DEALLOCATE.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::datatypes::{FieldRef, Schema, SchemaRef};
use sql::{SqlType, ast};

use super::done;
use super::rows::collect;
use crate::session::{Parsed, Prepared, Session};
use crate::{DatabaseError, Outcome};

pub(super) fn prepare(
    session: &mut Session,
    name: &ast::Ident,
    data_types: &[ast::DataType],
    statement: &ast::Statement,
    text: &str,
) -> Result<Outcome, DatabaseError> {
    let name = sql::identifier(name);
    if session.named.contains_key(&name) {
        let message = format!("prepared statement \"{name}\" already exists");
        return Err(DatabaseError::new("42P05", message));
    }
    let types: Vec<Option<FieldRef>> = data_types
        .iter()
        .map(|data_type| Ok(Some(Arc::new(SqlType::from_ast(data_type)?.field("", true)))))
        .collect::<Result<_, DatabaseError>>()?;
    let statement = sql::Statement::Standard(Box::new(statement.clone()));
    let parsed = Parsed::new(sql::Parsed { statement, text: text.to_owned(), offset: 0 });
    let prepared = session.prepare(&parsed, &types)?;
    session.named.insert(name, prepared);
    Ok(done("PREPARE"))
}

fn find(session: &Session, name: Option<&ast::ObjectName>) -> Result<Prepared, DatabaseError> {
    let name = name.map(|name| sql::name_parts(name).join(".")).unwrap_or_default();
    let found = session.named.get(&name).cloned();
    found.ok_or_else(|| DatabaseError::new("26000", format!("prepared statement \"{name}\" does not exist")))
}

pub(super) fn columns(session: &Session, name: Option<&ast::ObjectName>) -> Result<Option<SchemaRef>, DatabaseError> {
    let columns = find(session, name)?.columns().map(<[FieldRef]>::to_vec);
    Ok(columns.map(|columns| Arc::new(Schema::new(columns))))
}

pub(super) fn execute<'a>(
    session: &'a mut Session,
    name: Option<&'a ast::ObjectName>,
    arguments: &'a [ast::Expr],
) -> Pin<Box<dyn Future<Output = Result<Outcome, DatabaseError>> + Send + 'a>> {
    Box::pin(async move {
        let prepared = find(session, name)?;
        let wanted = prepared.parameters();
        if wanted.len() != arguments.len() {
            let message = "wrong number of parameters for prepared statement".to_owned();
            let detail = format!("Expected {} parameters but got {}.", wanted.len(), arguments.len());
            return Err(DatabaseError::new("42601", message).with_detail(detail));
        }
        let mut values: Vec<ArrayRef> = Vec::new();
        for (argument, field) in arguments.iter().zip(wanted) {
            let query = sql::parse_query(&format!("SELECT CAST({argument} AS {})", SqlType::from_field(field).name()))?;
            let plan = sql::plan_query(&query, &session.statement_catalog()?, &[])?;
            values.push(Arc::clone(collect(session, &plan, &[]).await?.column(0)));
        }
        super::execute(session, &prepared, &values).await
    })
}

pub(super) fn deallocate(session: &mut Session, name: &ast::Ident) -> Result<Outcome, DatabaseError> {
    if name.quote_style.is_none() && name.value.eq_ignore_ascii_case("all") {
        session.named.clear();
        return Ok(done("DEALLOCATE ALL"));
    }
    let name = sql::identifier(name);
    match session.named.remove(&name) {
        Some(_) => Ok(done("DEALLOCATE")),
        None => Err(DatabaseError::new("26000", format!("prepared statement \"{name}\" does not exist"))),
    }
}
