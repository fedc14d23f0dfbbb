//! Statements that have been parsed, and statements that have been analysed.

use std::sync::Arc;

use arrow::datatypes::{FieldRef, SchemaRef};
use sql::{DeletePlan, InsertPlan, QueryPlan, SqlType, Statement, UpdatePlan, ast};
use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::task::block_in_place;

use super::Session;
use crate::{DatabaseError, statements};

/// A text above this may take more than an instant to plan.
const LONG_TEXT_BYTES: usize = 512;

/// One statement of a text.
#[derive(Clone, Debug)]
pub struct Parsed {
    inner: Arc<sql::Parsed>,
}

impl Parsed {
    pub(crate) fn new(parsed: sql::Parsed) -> Parsed {
        Parsed { inner: Arc::new(parsed) }
    }

    /// The statement's own text.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.inner.text
    }

    /// How many characters of the whole text come before it: add to a position to point into that.
    #[must_use]
    pub fn offset(&self) -> usize {
        self.inner.offset
    }

    pub(crate) fn statement(&self) -> &Statement {
        &self.inner.statement
    }
}

/// A statement that has been analysed: its parameters and result columns are known.
#[derive(Clone, Debug)]
pub struct Prepared {
    parsed: Parsed,
    parameters: Vec<FieldRef>,
    columns: Option<Vec<FieldRef>>,
    plan: Arc<Planned>,
    basis: Basis,
}

/// What a plan rests on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Basis {
    pub catalog: u64,
    pub settings: u64,
    /// Planned over the transaction's own writes, which is good for once.
    pub own_writes: bool,
}

/// What planning gave.
#[derive(Debug)]
pub(crate) enum Planned {
    /// A query.
    Query(QueryPlan),
    /// INSERT.
    Insert(InsertPlan),
    /// UPDATE.
    Update(UpdatePlan),
    /// DELETE.
    Delete(DeletePlan),
    /// A statement that has no plan.
    None,
}

impl Prepared {
    /// The parameters `$1`, `$2`, … : Arrow type, and `keyfold.type` in the metadata where that does not say it.
    #[must_use]
    pub fn parameters(&self) -> &[FieldRef] {
        &self.parameters
    }

    /// The result's columns, or `None` if the statement gives no rows.
    #[must_use]
    pub fn columns(&self) -> Option<&[FieldRef]> {
        self.columns.as_deref()
    }

    /// What was analysed.
    #[must_use]
    pub fn parsed(&self) -> &Parsed {
        &self.parsed
    }

    /// Whether it reads one row by its key.
    #[must_use]
    pub fn is_look_up(&self) -> bool {
        matches!(self.plan.as_ref(), Planned::Query(query) if query.is_look_up())
    }

    /// The plan, if it is good for the session now.
    pub(super) fn fresh_plan(&self, session: &Session) -> Option<&Planned> {
        (self.basis == basis(session) && !self.basis.own_writes).then_some(self.plan.as_ref())
    }

    /// The plan as it is good for the session now: this one, or a new one if what it rests on has changed.
    ///
    /// # Errors
    /// What is wrong with the statement by now; 0A000 if it would give other columns.
    pub(crate) fn current_plan(&self, session: &mut Session) -> Result<Arc<Planned>, DatabaseError> {
        if matches!(*self.plan, Planned::None) || self.basis == basis(session) && !self.basis.own_writes {
            return Ok(Arc::clone(&self.plan));
        }
        let types: Vec<Option<FieldRef>> = self.parameters.iter().cloned().map(Some).collect();
        let again = prepare(session, &self.parsed, &types)?;
        if !same_columns(again.columns.as_deref(), self.columns.as_deref()) {
            return Err(DatabaseError::new("0A000", "cached plan must not change result type"));
        }
        Ok(again.plan)
    }
}

fn same_columns(a: Option<&[FieldRef]>, b: Option<&[FieldRef]>) -> bool {
    let types = |columns: &[FieldRef]| columns.iter().map(|c| SqlType::from_field(c)).collect::<Vec<_>>();
    a.map(types) == b.map(types)
}

pub(super) fn basis(session: &Session) -> Basis {
    Basis {
        catalog: session.database.catalog().version,
        settings: session.settings.generation(),
        own_writes: session.transaction.as_ref().is_some_and(super::Transaction::has_writes),
    }
}

/// Analyses a statement.
pub(super) fn prepare(
    session: &mut Session,
    parsed: &Parsed,
    parameter_types: &[Option<FieldRef>],
) -> Result<Prepared, DatabaseError> {
    let types: Vec<Option<SqlType>> =
        parameter_types.iter().map(|field| field.as_ref().map(|f| SqlType::from_field(f))).collect();
    let basis = basis(session);
    let plan = beside_others(parsed.text(), || plan(session, parsed, &types))?;
    let (parameters, columns): (Vec<SqlType>, Option<SchemaRef>) = match &plan {
        Planned::Query(query) => (query.parameters().to_vec(), Some(query.schema())),
        Planned::Insert(insert) => (insert.parameters.clone(), insert.returning.as_ref().map(|r| r.schema())),
        Planned::Update(update) => (update.parameters.clone(), update.returning.as_ref().map(|r| r.schema())),
        Planned::Delete(delete) => (delete.parameters.clone(), delete.returning.as_ref().map(|r| r.schema())),
        Planned::None => (Vec::new(), statements::columns(session, parsed.statement())?),
    };
    Ok(Prepared {
        parsed: parsed.clone(),
        parameters: parameters.iter().map(|t| Arc::new(t.field("", true))).collect(),
        columns: columns.map(|schema| schema.fields().iter().cloned().collect()),
        plan: Arc::new(plan),
        basis,
    })
}

/// Plans a text. A long one may take long, and must not keep the thread's other connections waiting.
fn beside_others<T>(text: &str, plan: impl FnOnce() -> T) -> T {
    let may_move = || Handle::try_current().is_ok_and(|h| h.runtime_flavor() == RuntimeFlavor::MultiThread);
    if text.len() > LONG_TEXT_BYTES && may_move() { block_in_place(plan) } else { plan() }
}

fn plan(session: &mut Session, parsed: &Parsed, types: &[Option<SqlType>]) -> Result<Planned, DatabaseError> {
    let Statement::Standard(statement) = parsed.statement() else { return Ok(Planned::None) };
    let planned = match statement.as_ref() {
        ast::Statement::Query(query) => {
            sql::plan_query(query, &session.statement_catalog()?, types).map(Planned::Query)
        }
        ast::Statement::Insert(insert) => {
            sql::plan_insert(insert, &session.statement_catalog()?, types).map(Planned::Insert)
        }
        ast::Statement::Update(update) => {
            let catalog = statements::writable_catalog(session, &statements::target_of_update(update)?)?;
            sql::plan_update(update, &catalog, types).map(Planned::Update)
        }
        ast::Statement::Delete(delete) => {
            let catalog = statements::writable_catalog(session, &statements::target_of_delete(delete)?)?;
            sql::plan_delete(delete, &catalog, types).map(Planned::Delete)
        }
        _ => return Ok(Planned::None),
    };
    planned.map_err(|error| error.locate(parsed.text()).into())
}
