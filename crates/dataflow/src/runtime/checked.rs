//! Checks an operator's contract from outside: on in tests, off otherwise.

use std::collections::HashMap;

use arrow::array::ArrayRef;
use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;
use changelog::{ChangeBatch, ChangelogMode, Epoch, RowCodec, canonical_value};

use crate::{Node, Operator, OperatorSpec, Output};

/// An operator, with what it may put out.
#[derive(Debug)]
pub(super) struct Checked {
    inner: Box<dyn Operator>,
    title: String,
    schema: SchemaRef,
    mode: ChangelogMode,
    /// The epoch of the last call, and whether it was finished.
    last: Option<(Epoch, bool)>,
    /// In a loop, the last iteration that was finished.
    last_iteration: Option<(Epoch, u64)>,
    /// The last call stopped early.
    more: bool,
    /// For an output whose rows all come from and go to this worker: copies of each row.
    totals: Option<HashMap<Vec<u8>, i64>>,
}

impl Checked {
    /// Checks an operator; with `sees_all` it is told all changes from the first on.
    pub fn new(inner: Box<dyn Operator>, node: &Node, title: &str, sees_all: bool) -> Checked {
        let is_output = matches!(node.spec, OperatorSpec::Output { .. });
        Checked {
            inner,
            title: title.to_owned(),
            schema: node.schema.clone(),
            mode: node.mode,
            last: None,
            last_iteration: None,
            more: false,
            totals: (is_output && sees_all).then(HashMap::new),
        }
    }

    fn check_output(&mut self, output: &Output) {
        self.more = output.more;
        self.check_batches(output);
        self.count_totals(&output.changes);
        if let (Some((epoch, true)), false, Some(totals)) = (self.last, self.more, &mut self.totals) {
            totals.retain(|_, total| *total != 0);
            let least = totals.values().min().copied().unwrap_or(0);
            assert!(least >= 0, "{}: a row is there {least} times after epoch {epoch}", self.title);
        }
    }

    fn check_batches(&mut self, output: &Output) {
        for batch in &output.changes {
            assert!(!batch.is_empty(), "{}: empty batches are left out", self.title);
            if batch.holds_partials() {
                continue;
            }
            let types = |schema: &SchemaRef| schema.fields().iter().map(|f| f.data_type().clone()).collect::<Vec<_>>();
            assert_eq!(types(&batch.schema()), types(&self.schema), "{}: columns are the node's", self.title);
            if self.mode == ChangelogMode::AppendOnly {
                let retracts = batch.weights().is_some_and(|w| w.iter().any(|w| *w < 0));
                assert!(!retracts, "{}: an append-only edge has no retractions", self.title);
            }
        }
        for (error, weight) in &output.errors {
            assert!(*weight != 0, "{}: an error has a weight: {error}", self.title);
        }
    }

    fn count_totals(&mut self, changes: &[ChangeBatch]) {
        let Some(totals) = &mut self.totals else { return };
        for batch in changes {
            let columns: Vec<ArrayRef> = batch.rows().columns().iter().map(canonical_value).collect();
            let rows = RowCodec::new(columns.iter().map(|c| c.data_type().clone()).collect()).encode(&columns);
            for row in 0..batch.row_count() {
                let bytes = if columns.is_empty() { Vec::new() } else { rows.row(row).to_vec() };
                *totals.entry(bytes).or_default() += batch.weight(row);
            }
        }
    }
}

impl Operator for Checked {
    fn apply(&mut self, input: usize, epoch: Epoch, batch: ChangeBatch, output: &mut Output) -> Result<(), ArrowError> {
        assert!(output.changes.is_empty() && output.errors.is_empty(), "{}: starts with no output", self.title);
        assert!(!batch.is_empty(), "{}: takes no empty batches", self.title);
        match self.last {
            Some((last, false)) => assert_eq!(epoch, last, "{}: an epoch is finished before the next", self.title),
            Some((last, true)) => assert!(epoch > last, "{}: epochs ascend: {epoch} after {last}", self.title),
            None => {}
        }
        self.last = Some((epoch, false));
        assert!(!self.more, "{}: a call that stopped goes on before the next", self.title);
        self.inner.apply(input, epoch, batch, output)?;
        self.check_output(output);
        Ok(())
    }

    fn resume(&mut self, epoch: Epoch, output: &mut Output) -> Result<(), ArrowError> {
        assert!(self.more, "{}: only a call that stopped goes on", self.title);
        self.inner.resume(epoch, output)?;
        self.check_output(output);
        Ok(())
    }

    fn finish_epoch(&mut self, epoch: Epoch, wanted: bool, output: &mut Output) -> Result<(), ArrowError> {
        match self.last {
            Some((last, false)) => assert_eq!(epoch, last, "{}: the epoch at hand is finished", self.title),
            Some((last, true)) => assert!(epoch > last, "{}: epochs ascend: {epoch} after {last}", self.title),
            None => {}
        }
        assert!(!self.more, "{}: a call that stopped goes on before the next", self.title);
        self.last = Some((epoch, true));
        self.inner.finish_epoch(epoch, wanted, output)?;
        self.check_output(output);
        Ok(())
    }

    fn finish_iteration(
        &mut self,
        epoch: Epoch,
        iteration: u64,
        output: &mut Output,
    ) -> Result<Option<u64>, ArrowError> {
        if let Some((last, _)) = self.last {
            assert_eq!(epoch, last, "{}: the epoch at hand is finished", self.title);
        }
        let finished = Some((epoch, iteration));
        assert!(self.last_iteration < finished, "{}: iterations ascend, up to {finished:?}", self.title);
        self.last_iteration = finished;
        // The epoch may go on.
        self.last = None;
        let next = self.inner.finish_iteration(epoch, iteration, output)?;
        self.check_batches(output);
        Ok(next)
    }
}
