//! The statements, one file each. This is the list of them.

mod check_materialized_view;
mod checkpoint;
mod comment;
mod copy;
mod create_database;
mod create_materialized_view;
mod create_schema;
mod create_source;
mod create_table;
mod create_view;
mod delete;
mod describe;
mod discard;
mod drop;
mod explain;
mod insert;
mod options;
mod prepare;
mod rows;
mod select;
mod set;
mod show;
mod target;
mod transaction;
mod truncate;
mod update;

use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::datatypes::SchemaRef;
use sql::{RunContext, Statement, ast};

use crate::session::{Planned, Prepared, Session};
use crate::{DatabaseError, Outcome};

pub(crate) use copy::finish as finish_copy;
pub(crate) use insert::execute_literals as insert_literals;
pub(crate) use select::check_readable;
pub(crate) use target::{target_of_delete, target_of_update, writable_catalog};

/// Runs a statement in the session's transaction, which is open.
pub(crate) async fn execute(
    session: &mut Session,
    prepared: &Prepared,
    parameters: &[ArrayRef],
) -> Result<Outcome, DatabaseError> {
    let plan = prepared.current_plan(session)?;
    match plan.as_ref() {
        Planned::Query(query) => {
            select::lock_rows(session, query, prepared.parsed().statement()).await?;
            select::execute(session, query, parameters).await
        }
        Planned::Insert(insert) => insert::execute(session, insert, parameters).await,
        Planned::Update(update) => update::execute(session, update, parameters).await,
        Planned::Delete(delete) => delete::execute(session, delete, parameters).await,
        Planned::None => execute_unplanned(session, prepared).await,
    }
}

async fn execute_unplanned(session: &mut Session, prepared: &Prepared) -> Result<Outcome, DatabaseError> {
    let parsed = prepared.parsed();
    match parsed.statement() {
        Statement::Standard(statement) => execute_standard(session, statement, parsed.text()).await,
        Statement::CreateSource(create) => create_source::execute(session, create).await,
        Statement::DropSource(drop) => drop::execute_source(session, drop).await,
        Statement::ShowRelations { kind, schema } => show::relations(session, *kind, schema.as_deref()),
        Statement::ShowCreate { kind, name } => show::create(session, *kind, name),
        Statement::Describe { name } => describe::execute(session, name),
        Statement::ExplainView { name } => explain::view(session, name),
        Statement::RefreshMaterializedView { name } => {
            session.statement_catalog()?.require(name)?;
            // It is always up to date.
            Ok(done("REFRESH MATERIALIZED VIEW"))
        }
        Statement::CheckMaterializedView { name } => check_materialized_view::execute(session, name).await,
        Statement::Checkpoint => checkpoint::execute(session).await,
    }
}

async fn execute_standard(
    session: &mut Session,
    statement: &ast::Statement,
    text: &str,
) -> Result<Outcome, DatabaseError> {
    use ast::Statement as S;
    match statement {
        S::CreateTable(create) => create_table::execute(session, create).await,
        S::CreateView(create) if create.materialized => create_materialized_view::execute(session, create, text).await,
        S::CreateView(create) => create_view::execute(session, create, text).await,
        S::CreateSchema { schema_name, if_not_exists, .. } => {
            create_schema::execute(session, schema_name, *if_not_exists).await
        }
        S::CreateDatabase { db_name, .. } => create_database::execute(session, db_name).await,
        S::Drop { object_type, if_exists, names, cascade, .. } => {
            drop::execute(session, *object_type, names, *if_exists, *cascade).await
        }
        S::Truncate(truncate) => truncate::execute(session, truncate).await,
        S::Copy { source, to, target, options, legacy_options, .. } => {
            let copy = copy::Copy { source, to: *to, target, options, legacy_options };
            copy::execute(session, &copy).await
        }
        S::Comment { object_type, object_name, comment, if_exists, .. } => {
            comment::execute(session, *object_type, object_name, comment.as_deref(), *if_exists).await
        }
        S::Set(set) => set::set(session, set),
        S::Reset(reset) => set::reset(session, &reset.reset),
        S::ShowVariable { variable } => show::setting(session, variable),
        S::Discard { object_type } => discard::execute(session, object_type),
        // What a pool says before it lends a connection again; there are no cursors and no channels.
        S::Close { cursor: ast::CloseCursor::All } => Ok(done("CLOSE CURSOR ALL")),
        S::UNLISTEN { .. } => Ok(done("UNLISTEN")),
        S::StartTransaction { modes, .. } => transaction::begin(session, modes),
        S::Commit { chain, .. } => transaction::commit(session, *chain).await,
        S::Rollback { savepoint: Some(_), .. } | S::Savepoint { .. } | S::ReleaseSavepoint { .. } => {
            Err(DatabaseError::unsupported("SAVEPOINT"))
        }
        S::Rollback { chain, .. } => transaction::roll_back(session, *chain),
        S::Explain { statement, analyze, .. } => explain::execute(session, statement, *analyze, text),
        S::ExplainTable { table_name, .. } => describe::execute(session, &sql::name_parts(table_name)),
        S::Prepare { name, data_types, statement } => prepare::prepare(session, name, data_types, statement, text),
        S::Execute { name, parameters, .. } => prepare::execute(session, name.as_ref(), parameters).await,
        S::Deallocate { name, .. } => prepare::deallocate(session, name),
        other => Err(unsupported(other)),
    }
}

/// Whether what a statement does or answers depends on rows, and not on definitions only.
pub(crate) fn reads_rows(statement: &Statement) -> bool {
    use ast::Statement as S;
    match statement {
        Statement::Standard(statement) => match statement.as_ref() {
            S::CreateTable(create) => create.query.is_some(),
            S::CreateView(_) | S::CreateSchema { .. } | S::CreateDatabase { .. } | S::Comment { .. } => false,
            S::Set(_) | S::Reset(_) | S::ShowVariable { .. } | S::Prepare { .. } | S::Deallocate { .. } => false,
            S::Explain { analyze, .. } => *analyze,
            S::ExplainTable { .. } | S::Drop { .. } => false,
            _ => true,
        },
        Statement::CheckMaterializedView { .. } | Statement::RefreshMaterializedView { .. } | Statement::Checkpoint => {
            true
        }
        Statement::CreateSource(_)
        | Statement::DropSource(_)
        | Statement::ShowRelations { .. }
        | Statement::ShowCreate { .. }
        | Statement::Describe { .. }
        | Statement::ExplainView { .. } => false,
    }
}

/// 0A000, naming the statement by its first words.
fn unsupported(statement: &ast::Statement) -> DatabaseError {
    let text = statement.to_string();
    let words: Vec<&str> = text.split_whitespace().take(2).collect();
    DatabaseError::unsupported(words.join(" ")).at(1)
}

/// The columns of a statement that has no plan, or `None` if it gives no rows.
pub(crate) fn columns(session: &mut Session, statement: &Statement) -> Result<Option<SchemaRef>, DatabaseError> {
    use ast::Statement as S;
    Ok(match statement {
        Statement::ShowRelations { .. } => Some(show::relation_columns()),
        Statement::ShowCreate { .. } => Some(show::create_columns()),
        Statement::Describe { .. } => Some(describe::columns()),
        Statement::ExplainView { .. } => Some(explain::columns()),
        Statement::CheckMaterializedView { .. } => Some(check_materialized_view::columns()),
        Statement::Standard(statement) => match statement.as_ref() {
            S::ShowVariable { variable } => Some(show::setting_columns(session, variable)?),
            S::Explain { .. } => Some(explain::columns()),
            S::ExplainTable { .. } => Some(describe::columns()),
            S::Execute { name, .. } => prepare::columns(session, name.as_ref())?,
            _ => None,
        },
        _ => None,
    })
}

/// Whether a statement ends a transaction, which is all that a failed one understands.
pub(crate) fn ends_transaction(statement: &Statement) -> bool {
    match statement {
        Statement::Standard(statement) => matches!(
            statement.as_ref(),
            ast::Statement::Commit { .. } | ast::Statement::Rollback { savepoint: None, .. }
        ),
        _ => false,
    }
}

/// An answer that is only a tag.
fn done(tag: &str) -> Outcome {
    Outcome::Done { tag: tag.to_owned() }
}

/// What a run of a plan needs from the session.
fn run_context(session: &Session) -> RunContext {
    let now = session.transaction.as_ref().map(crate::session::Transaction::now_micros);
    RunContext {
        now_micros: now.unwrap_or_else(crate::clock::now_micros),
        memory: Arc::clone(&session.database.memory),
        cancel: session.cancel.current(),
    }
}

/// Changes of the catalog are their own transaction: refuses them within another, and commits what came before.
async fn begin_catalog_change(session: &mut Session, command: &str) -> Result<(), DatabaseError> {
    if session.in_transaction_block() {
        let message = format!("{command} cannot run inside a transaction block");
        return Err(DatabaseError::new("25001", message).with_hint("Changes of the catalog take effect at once."));
    }
    session.commit().await
}
