//! Operators that are broken on purpose, so that tests can prove they would notice.
//!
//! Only builds with debug assertions know how; there the environment variable `TESTING_FAULT` names the fault.

use changelog::{ChangeBatch, Epoch};

use arrow::array::BooleanArray;
use arrow::error::ArrowError;

use crate::{Operator, OperatorSpec, Output};

/// The fault that leaves out retractions before they reach an aggregate.
const SKIP_RETRACTIONS: &str = "skip-retractions";

/// Breaks an aggregate if a fault is asked for, and leaves all other operators as they are.
pub(super) fn break_if_asked(operator: Box<dyn Operator>, spec: &OperatorSpec) -> Box<dyn Operator> {
    let asked =
        cfg!(debug_assertions) && std::env::var_os("TESTING_FAULT").is_some_and(|fault| fault == SKIP_RETRACTIONS);
    match spec {
        OperatorSpec::Aggregate { .. } if asked => Box::new(SkipsRetractions(operator)),
        _ => operator,
    }
}

/// An operator that is never told of retractions.
#[derive(Debug)]
struct SkipsRetractions(Box<dyn Operator>);

impl Operator for SkipsRetractions {
    fn apply(&mut self, input: usize, epoch: Epoch, batch: ChangeBatch, output: &mut Output) -> Result<(), ArrowError> {
        let keep = BooleanArray::from_iter((0..batch.row_count()).map(|row| Some(batch.weight(row) > 0)));
        let kept = batch.filter(&keep)?;
        if kept.is_empty() { Ok(()) } else { self.0.apply(input, epoch, kept, output) }
    }

    fn finish_epoch(&mut self, epoch: Epoch, wanted: bool, output: &mut Output) -> Result<(), ArrowError> {
        self.0.finish_epoch(epoch, wanted, output)
    }
}
