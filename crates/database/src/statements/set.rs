//! SET and RESET.

use sql::ast;

use super::options::value_text;
use super::{done, transaction};
use crate::session::Session;
use crate::{DatabaseError, Outcome, Severity};

pub(super) fn set(session: &mut Session, set: &ast::Set) -> Result<Outcome, DatabaseError> {
    match set {
        ast::Set::SingleAssignment { scope, variable, values, .. } => {
            let name = sql::name_parts(variable).join(".");
            let local = matches!(scope, Some(ast::ContextModifier::Local));
            assign(session, &name, values, local)?;
        }
        ast::Set::SetTimeZone { local, value } => assign(session, "TimeZone", std::slice::from_ref(value), *local)?,
        ast::Set::SetNames { charset_name, .. } => {
            session.settings.set("client_encoding", &charset_name.value, false)?;
        }
        ast::Set::SetNamesDefault {} => session.settings.reset("client_encoding")?,
        ast::Set::SetTransaction { modes, session: of_session, .. } => {
            return set_transaction(session, modes, *of_session);
        }
        other => return Err(DatabaseError::unsupported(other)),
    }
    Ok(done("SET"))
}

fn assign(session: &mut Session, name: &str, values: &[ast::Expr], local: bool) -> Result<(), DatabaseError> {
    if let [ast::Expr::Identifier(word)] = values
        && word.quote_style.is_none()
        && word.value.eq_ignore_ascii_case("default")
    {
        return session.settings.reset(name);
    }
    if local && !session.in_transaction_block() {
        session.notice(Severity::Warning, "25P01", "SET LOCAL can only be used in transaction blocks");
        return Ok(());
    }
    let texts: Vec<String> = values.iter().map(value_text).collect();
    session.settings.set(name, &texts.join(", "), local)?;
    if let ("transaction_isolation", Some(transaction)) = (name, &mut session.transaction) {
        transaction.set_isolation(crate::session::isolation(&texts.join(" ").to_lowercase()));
    }
    Ok(())
}

fn set_transaction(
    session: &mut Session,
    modes: &[ast::TransactionMode],
    of_session: bool,
) -> Result<Outcome, DatabaseError> {
    if of_session {
        for mode in modes {
            match mode {
                ast::TransactionMode::IsolationLevel(level) => {
                    session.settings.set("default_transaction_isolation", &level.to_string().to_lowercase(), false)?;
                }
                ast::TransactionMode::AccessMode(mode) => {
                    let value = if matches!(mode, ast::TransactionAccessMode::ReadOnly) { "on" } else { "off" };
                    session.settings.set("default_transaction_read_only", value, false)?;
                }
            }
        }
        return Ok(done("SET"));
    }
    if !session.in_transaction_block() {
        session.notice(Severity::Warning, "25P01", "SET TRANSACTION can only be used in transaction blocks");
        return Ok(done("SET"));
    }
    if let Some(mut open) = session.transaction.take() {
        let set = transaction::set_modes(session, &mut open, modes);
        session.transaction = Some(open);
        set?;
    }
    Ok(done("SET"))
}

pub(super) fn reset(session: &mut Session, reset: &ast::Reset) -> Result<Outcome, DatabaseError> {
    match reset {
        ast::Reset::ALL => session.settings.reset_all(),
        ast::Reset::ConfigurationParameter(name) => session.settings.reset(&sql::name_parts(name).join("."))?,
    }
    Ok(done("RESET"))
}
