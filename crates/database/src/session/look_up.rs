//! Prepared look-ups by key, answered at once.

use arrow::array::{ArrayRef, RecordBatch};

use super::{Planned, Prepared, Session};
use crate::{DatabaseError, statements};

impl Session {
    /// The row (or none) that a prepared look-up gives when it is a transaction by itself. `None`: it is to be executed
    /// as any other statement, since it is none, or was planned before the catalog changed, or a transaction is open.
    pub fn look_up(
        &mut self,
        statement: &Prepared,
        parameters: &[ArrayRef],
    ) -> Option<Result<RecordBatch, DatabaseError>> {
        if self.transaction.is_some() || self.implicit || parameters.len() != statement.parameters().len() {
            return None;
        }
        let Planned::Query(query) = statement.fresh_plan(self)? else { return None };
        if !query.is_look_up() {
            return None;
        }
        let pin = self.database.pins.pin();
        if let Err(error) = statements::check_readable(&self.database.catalog(), query, pin.epoch()) {
            return Some(Err(error));
        }
        query.look_up(parameters, pin.epoch()).map_err(DatabaseError::from).transpose()
    }
}
