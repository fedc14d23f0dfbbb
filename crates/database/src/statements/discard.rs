//! DISCARD: how the statement is carried out.

use sql::ast;

use super::done;
use crate::session::Session;
use crate::{DatabaseError, Outcome};

pub(super) fn execute(session: &mut Session, what: &ast::DiscardObject) -> Result<Outcome, DatabaseError> {
    match what {
        ast::DiscardObject::ALL => {
            if session.in_transaction_block() {
                return Err(DatabaseError::new("25001", "DISCARD ALL cannot run inside a transaction block"));
            }
            session.settings.reset_all();
            session.named.clear();
            Ok(done("DISCARD ALL"))
        }
        ast::DiscardObject::PLANS => Ok(done("DISCARD PLANS")),
        ast::DiscardObject::SEQUENCES => Ok(done("DISCARD SEQUENCES")),
        ast::DiscardObject::TEMP => Ok(done("DISCARD TEMP")),
    }
}
