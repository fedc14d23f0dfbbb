//! INSERTs of literals as texts: run without being planned when one with the same beginning has come before.

use std::collections::HashMap;
use std::sync::Arc;

use sql::{LiteralInsert, Statement, ast};

use super::Session;
use super::prepared::{Basis, basis};
use crate::{DatabaseError, statements};

/// Beginnings that a session remembers; then it starts again.
const HEADS_MAX: usize = 100;
/// Longer beginnings are not remembered.
const HEAD_BYTES_MAX: usize = 10_000;

/// What is known of statements by their text before VALUES.
#[derive(Debug, Default)]
pub(super) struct Heads {
    known: HashMap<String, Head>,
}

#[derive(Clone, Debug)]
struct Head {
    basis: Basis,
    /// `None`: such a statement has to be planned.
    insert: Option<Arc<LiteralInsert>>,
}

impl Session {
    /// Runs the text if it is one INSERT of literals that needs no planning, and gives its command tag. `None`: nothing
    /// was done, and the text is to be parsed, prepared and executed as any other.
    pub async fn insert_literals(&mut self, text: &str) -> Option<Result<String, DatabaseError>> {
        let end = sql::insert_head(text).filter(|end| *end <= HEAD_BYTES_MAX)?;
        if self.transaction.as_ref().is_some_and(super::Transaction::is_failed) {
            return None;
        }
        let (head, values) = text.split_at(end);
        let insert = self.literal_insert(head, text)?;
        let columns = insert.columns(values)?;
        self.cancel.begin();
        self.open_transaction();
        let outcome = statements::insert_literals(self, &insert.relation, &columns).await;
        Some(self.end_statement(outcome).await)
    }

    fn literal_insert(&mut self, head: &str, text: &str) -> Option<Arc<LiteralInsert>> {
        // What the transaction has written changes nothing here.
        let basis = Basis { own_writes: false, ..basis(self) };
        if let Some(known) = self.literal_inserts.known.get(head).filter(|known| known.basis == basis) {
            return known.insert.clone();
        }
        let insert = self.analyse_literals(text).map(Arc::new);
        let known = &mut self.literal_inserts.known;
        if known.len() >= HEADS_MAX {
            known.clear();
        }
        known.insert(head.to_owned(), Head { basis, insert: insert.clone() });
        insert
    }

    /// `None` also for what is wrong: planning says it better.
    fn analyse_literals(&self, text: &str) -> Option<LiteralInsert> {
        let parsed = sql::parse(text).ok()?;
        let [parsed] = parsed.as_slice() else { return None };
        let Statement::Standard(statement) = &parsed.statement else { return None };
        let ast::Statement::Insert(insert) = statement.as_ref() else { return None };
        sql::literal_insert(insert, &self.statement_catalog().ok()?).ok()?
    }
}
