//! Recursion: the work table of WITH RECURSIVE, iteration by iteration.
//!
//! Rows carry the number of the iteration that gave them in their first column. Input 0 brings those of iteration 0, and input
//! 1 what the recursive term makes of the rows put out here: of a row of iteration i, rows of iteration i + 1.
//!
//! 1. Changes wait by iteration. When an iteration is finished, all of its changes in this epoch are there, as they come from
//!    earlier iterations only. Then it is decided which of its rows the work table has.
//! 2. With UNION ALL it has all of them.
//! 3. With UNION it has a row in the least iteration that gave it, and in no other. For each row the iterations that gave it are
//!    kept in order, with how often they did.
//!     - If an earlier iteration than before gives a row, the row moves there at once.
//!     - If the least iteration gives it no more, the next one in which it is may still lose it, being made of what has
//!       just gone (a cycle that nothing leads to any more). The row is a candidate for that iteration, which decides.
//!
//! So each iteration is decided once per epoch, in ascending order, and a row that only its own successors give goes away.
//!
//! What one epoch may bring is bounded, too: ways along the edges of a graph, say, can be more than there is memory for long before
//! the last iteration. Then the job stops.
//!
//! Rows of an iteration beyond the last that is allowed are errors in place of rows, and nothing is made of them. That bounds what an
//! epoch can do, and they are retracted like any row when the data changes.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;

use arrow::array::{AsArray, BooleanArray, RecordBatch, RecordBatchOptions};
use arrow::datatypes::{Int64Type, SchemaRef};
use arrow::error::ArrowError;
use changelog::{ChangeBatch, Epoch, RowError, SqlState, consolidate};
use hashbrown::HashMap;
use state::{Listing, RowTree, SortColumn, SortedRows, SortedRowsOptions, StateTable};

use super::aggregate::external;
use super::keyed::{KeyedParts, KeyedShard, KeyedSpec};
use crate::{DataflowError, Operator, Output};

/// The column of the iteration's number, a `bigint` that is not NULL.
pub const ITERATION: usize = 0;

/// The number's length in a row's bytes: the tag of a value, then the value (`changelog::RowCodec`).
const ITERATION_BYTES: usize = 9;

/// Rows of a batch that is put out.
const BATCH_ROWS_MAX: usize = 8192;

/// Copies of rows that wait at a time on a worker, and with UNION ALL those of a whole epoch.
const COPIES_MAX: u64 = if cfg!(test) { 1 << 20 } else { 1 << 24 };

/// A recursive query: its input, and its result, have the iteration's number as their first column.
#[derive(Clone, Debug)]
pub struct Recursion {
    /// The query's name.
    pub name: String,
    /// UNION: rows that were there before are left out.
    pub distinct: bool,
    /// The number of the last iteration that may give rows.
    pub last_iteration: u64,
    /// How many columns there are, the number among them.
    pub column_count: usize,
}

impl Recursion {
    fn columns(&self) -> Vec<usize> {
        (ITERATION + 1..self.column_count).collect()
    }

    fn error(&self) -> RowError {
        let message = format!(
            "recursive query \"{}\" has not come to an end after {} iterations",
            self.name, self.last_iteration
        );
        RowError::new(SqlState::PROGRAM_LIMIT_EXCEEDED, message)
    }
}

impl KeyedSpec for Recursion {
    fn title(&self) -> String {
        let union = if self.distinct { "union" } else { "union all" };
        format!("Recursion {} {union} up to {} iterations", self.name, self.last_iteration)
    }

    fn placement(&self, _input: usize) -> Option<Vec<usize>> {
        self.distinct.then(|| self.columns())
    }

    fn placed_by(&self) -> Option<Vec<usize>> {
        self.placement(0)
    }

    fn state_table_count(&self) -> usize {
        usize::from(self.distinct)
    }

    fn operator(&self, shard: &KeyedShard) -> Result<KeyedParts, DataflowError> {
        let rows = self.distinct.then(|| {
            SortedRows::new(SortedRowsOptions {
                id: shard.state_tables[0],
                schema: Arc::clone(&shard.schema),
                partition: self.columns(),
                order: vec![SortColumn { column: ITERATION, descending: false, nulls_first: false }],
                kept: None,
                key_groups: shard.key_groups.clone(),
                store: shard.store.clone(),
                checkpointed: shard.checkpointed,
            })
        });
        let tables = rows.iter().map(|rows| Arc::clone(rows) as Arc<dyn StateTable>).collect();
        let operator = RecursionRows {
            spec: self.clone(),
            schema: Arc::clone(&shard.schema),
            waiting: BTreeMap::new(),
            copies: 0,
            epoch: Epoch(0),
            distinct: rows.map(|rows| Distinct {
                rows,
                epoch: Epoch(0),
                shown: HashMap::new(),
                candidates: BTreeMap::new(),
            }),
        };
        Ok(KeyedParts { operator: Box::new(operator), tables })
    }
}

/// Lets each iteration's changes through when all of them are there: for operators that take them at once.
#[derive(Clone, Debug)]
pub struct InOrder;

impl KeyedSpec for InOrder {
    fn title(&self) -> String {
        "In order of iterations".to_owned()
    }

    fn placement(&self, _input: usize) -> Option<Vec<usize>> {
        None
    }

    fn placed_by(&self) -> Option<Vec<usize>> {
        None
    }

    fn state_table_count(&self) -> usize {
        0
    }

    fn operator(&self, shard: &KeyedShard) -> Result<KeyedParts, DataflowError> {
        let column_count = shard.schema.fields().len();
        let spec = Recursion { name: String::new(), distinct: false, last_iteration: u64::MAX, column_count };
        let operator = RecursionRows {
            spec,
            schema: Arc::clone(&shard.schema),
            waiting: BTreeMap::new(),
            copies: 0,
            epoch: Epoch(0),
            distinct: None,
        };
        Ok(KeyedParts { operator: Box::new(operator), tables: Vec::new() })
    }
}

/// A recursion on one worker.
#[derive(Debug)]
struct RecursionRows {
    spec: Recursion,
    schema: SchemaRef,
    /// Changes of this epoch, by iteration.
    waiting: BTreeMap<i64, Vec<ChangeBatch>>,
    /// Copies in them; with UNION ALL, also of what was put out in the epoch at hand.
    copies: u64,
    epoch: Epoch,
    distinct: Option<Distinct>,
}

/// What UNION keeps.
#[derive(Debug)]
struct Distinct {
    /// Each row's iterations.
    rows: Arc<SortedRows>,
    /// The epoch of what follows.
    epoch: Epoch,
    /// The rows that were looked at in this epoch, without their iteration.
    shown: HashMap<Box<[u8]>, Shown>,
    /// Rows, with their iteration, that are shown from then on unless it turns out otherwise.
    candidates: BTreeMap<i64, Vec<Box<[u8]>>>,
}

/// How a row stands.
#[derive(Debug)]
struct Shown {
    /// The row with the iteration in which it is in the work table, if it is.
    row: Option<Box<[u8]>>,
    /// The iteration that decided it last.
    decided: i64,
}

/// Rows on their way out, with their weights.
type Changes = Vec<(Box<[u8]>, i64)>;

impl Operator for RecursionRows {
    fn apply(
        &mut self,
        _input: usize,
        epoch: Epoch,
        batch: ChangeBatch,
        _output: &mut Output,
    ) -> Result<(), ArrowError> {
        if epoch != self.epoch {
            (self.epoch, self.copies) = (epoch, 0);
        }
        self.copies = self.copies.saturating_add(copies_in(&batch));
        if self.copies > COPIES_MAX {
            let message = format!("recursive query \"{}\" gives more than {COPIES_MAX} rows at once", self.spec.name);
            return Err(ArrowError::ComputeError(message));
        }
        let rows = RecordBatch::try_new(Arc::clone(&self.schema), batch.rows().columns().to_vec())?;
        let batch = batch.with_rows(rows);
        let numbers = batch.rows().column(ITERATION).as_primitive::<Int64Type>().clone();
        let Some(first) = numbers.values().first().copied() else { return Ok(()) };
        if numbers.values().iter().all(|number| *number == first) {
            self.waiting.entry(first).or_default().push(batch);
            return Ok(());
        }
        let mut all: Vec<i64> = numbers.values().to_vec();
        all.sort_unstable();
        all.dedup();
        for number in all {
            let of_number: BooleanArray = numbers.values().iter().map(|n| Some(*n == number)).collect();
            self.waiting.entry(number).or_default().push(batch.filter(&of_number)?);
        }
        Ok(())
    }

    fn finish_iteration(
        &mut self,
        epoch: Epoch,
        iteration: u64,
        output: &mut Output,
    ) -> Result<Option<u64>, ArrowError> {
        let number = iteration as i64;
        assert!(self.waiting.keys().next().is_none_or(|first| *first >= number), "iterations are decided in order");
        let batches = self.waiting.remove(&number).unwrap_or_default();
        if self.distinct.is_some() {
            self.copies -= batches.iter().map(copies_in).sum::<u64>();
        }
        let changes = ChangeBatch::concat(&self.schema, &batches)?;
        let changes = match changes.weights() {
            Some(weights) if weights.iter().any(|weight| *weight < 0) => consolidate(&changes)?,
            _ => changes,
        };
        match &mut self.distinct {
            None => self.put_out(changes, output)?,
            Some(distinct) => {
                let decided = distinct.decide(epoch, number, &changes)?;
                for rows in decided.chunks(BATCH_ROWS_MAX) {
                    let bytes: Vec<&[u8]> = rows.iter().map(|(row, _)| &row[..]).collect();
                    let weights: Vec<i64> = rows.iter().map(|(_, weight)| *weight).collect();
                    let rows = self.distinct_rows(&bytes)?;
                    self.put_out(ChangeBatch::weighted(rows, weights.into()), output)?;
                }
            }
        }
        let candidates = self.distinct.as_ref().and_then(|distinct| distinct.candidates.keys().next());
        let next = self.waiting.keys().next().into_iter().chain(candidates).min();
        Ok(next.map(|next| next.unsigned_abs()))
    }
}

impl RecursionRows {
    fn distinct_rows(&self, rows: &[&[u8]]) -> Result<RecordBatch, ArrowError> {
        let Some(distinct) = &self.distinct else { return Ok(RecordBatch::new_empty(Arc::clone(&self.schema))) };
        let rows = distinct.rows.decode(rows).map_err(external)?;
        let options = RecordBatchOptions::new().with_row_count(Some(rows.num_rows()));
        RecordBatch::try_new_with_options(Arc::clone(&self.schema), rows.columns().to_vec(), &options)
    }

    /// Puts out rows, and errors in place of those that are beyond the last iteration.
    fn put_out(&self, changes: ChangeBatch, output: &mut Output) -> Result<(), ArrowError> {
        let numbers = changes.rows().column(ITERATION).as_primitive::<Int64Type>();
        let is_allowed = |number: i64| number.unsigned_abs() <= self.spec.last_iteration;
        if numbers.values().iter().all(|number| is_allowed(*number)) {
            output.push(changes);
            return Ok(());
        }
        let beyond = (0..changes.row_count()).filter(|row| !is_allowed(numbers.value(*row)));
        let error_count: i64 = beyond.map(|row| changes.weight(row)).sum();
        if error_count != 0 {
            output.errors.push((self.spec.error(), error_count));
        }
        let allowed: BooleanArray = numbers.values().iter().map(|number| Some(is_allowed(*number))).collect();
        output.push(changes.filter(&allowed)?);
        Ok(())
    }
}

impl Distinct {
    /// Takes in an iteration's changes, and gives the rows that come into the work table or leave it.
    fn decide(&mut self, epoch: Epoch, iteration: i64, changes: &ChangeBatch) -> Result<Changes, ArrowError> {
        if epoch != self.epoch {
            assert!(self.candidates.is_empty(), "an epoch ends when all is decided");
            self.shown.clear();
            self.epoch = epoch;
        }
        self.rows.apply(epoch, changes, Listing::Unlisted).map_err(external)?;
        let mut decided = Changes::new();
        let rows = Arc::clone(&self.rows);
        let finished = rows.finish_epoch(epoch, &mut |partition| {
            self.decide_row(iteration, least(partition.before), least(partition.after), &mut decided);
            Ok::<(), Infallible>(())
        });
        match finished {
            Ok(()) => {}
        }
        for row in self.candidates.remove(&iteration).unwrap_or_default() {
            let Some(shown) = self.shown.get_mut(&row[ITERATION_BYTES..]) else { unreachable!("it was looked at") };
            // What has changed in this iteration is decided, and what came before it is shown.
            if shown.decided < iteration && shown.row.is_none() {
                *shown = Shown { row: Some(row.clone()), decided: iteration };
                decided.push((row, 1));
            }
        }
        Ok(decided)
    }

    /// Decides on a row that an iteration's changes have touched; `before` and `after` are the least ones that there were
    /// and are.
    fn decide_row(&mut self, iteration: i64, before: Option<&[u8]>, after: Option<&[u8]>, decided: &mut Changes) {
        let Some(row) = after.or(before) else { return };
        let boxed = |row: &[u8]| Box::<[u8]>::from(row);
        // Until it is touched, a row is shown where it is least.
        let shown = self
            .shown
            .entry(boxed(&row[ITERATION_BYTES..]))
            .or_insert_with(|| Shown { row: before.map(boxed), decided: iteration });
        shown.decided = iteration;
        let mut now = after;
        if let Some(row) = after
            && iteration_of(row) > iteration
            && shown.row.as_deref() != Some(row)
        {
            self.candidates.entry(iteration_of(row)).or_default().push(boxed(row));
            now = None;
        }
        if shown.row.as_deref() == now {
            return;
        }
        if let Some(old) = shown.row.take() {
            decided.push((old, -1));
        }
        if let Some(new) = now {
            decided.push((boxed(new), 1));
            shown.row = Some(boxed(new));
        }
    }
}

/// How many copies of rows come or go.
fn copies_in(batch: &ChangeBatch) -> u64 {
    match batch.weights() {
        Some(weights) => weights.iter().fold(0, |sum: u64, weight| sum.saturating_add(weight.unsigned_abs())),
        None => batch.row_count() as u64,
    }
}

/// The row of the least iteration.
fn least(tree: &RowTree) -> Option<&[u8]> {
    let mut least = None;
    tree.visit_from(0, &mut |_, row| {
        least = Some(row.row());
        std::ops::ControlFlow::Break(())
    });
    least
}

/// The iteration in a row's bytes.
fn iteration_of(row: &[u8]) -> i64 {
    let mut bytes = [0; 8];
    bytes.copy_from_slice(&row[1..ITERATION_BYTES]);
    i64::from_be_bytes(bytes) ^ i64::MIN
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{batch, rows_of, schema};
    use changelog::{ChangelogMode, StateTableId};
    use state::EpochPins;

    fn operator(distinct: bool, last_iteration: u64) -> Box<dyn Operator> {
        let columns = schema(&["iteration", "x"]);
        let spec = Recursion { name: "r".to_owned(), distinct, last_iteration, column_count: 2 };
        let shard = KeyedShard {
            state_tables: vec![StateTableId(1)],
            worker: 0,
            worker_count: 1,
            key_groups: 0..256,
            inputs: vec![(Arc::clone(&columns), ChangelogMode::Retracting)],
            schema: columns,
            mode: ChangelogMode::Retracting,
            pins: EpochPins::new(),
            store: None,
            checkpointed: false,
        };
        spec.operator(&shard).expect("an operator").operator
    }

    /// Iterations of an epoch in which something happens: their numbers, and what is put out.
    type Told = Vec<(u64, Vec<(i64, i64, i64)>)>;

    /// Goes through an epoch; `changes` are all there from the beginning.
    fn epoch(operator: &mut dyn Operator, number: u64, changes: &[(i64, i64, i64)]) -> (Told, i64) {
        let mut told = Told::new();
        let (mut errors, mut output) = (0, Output::default());
        operator.apply(0, Epoch(number), batch(changes), &mut output).expect("applies");
        assert!(output.changes.is_empty(), "nothing is decided yet");
        let mut next = Some(0);
        while let Some(iteration) = next {
            let mut output = Output::default();
            next = operator.finish_iteration(Epoch(number), iteration, &mut output).expect("finishes");
            let row = |(row, weight): (Vec<Option<i64>>, i64)| (row[0].unwrap_or(-1), row[1].unwrap_or(-1), weight);
            let rows: Vec<_> = rows_of(&output.changes).into_iter().map(row).collect();
            errors += output.errors.iter().map(|(_, weight)| weight).sum::<i64>();
            if !rows.is_empty() {
                told.push((iteration, rows));
            }
        }
        (told, errors)
    }

    #[test]
    fn a_row_is_there_in_its_least_iteration() {
        let mut union = operator(true, 100);
        let (told, _) = epoch(union.as_mut(), 1, &[(3, 7, 1), (5, 7, 1), (3, 7, 2), (4, 8, 1)]);
        assert_eq!(told, [(3, vec![(3, 7, 1)]), (4, vec![(4, 8, 1)])]);
        // An earlier one takes it over at once.
        let (told, _) = epoch(union.as_mut(), 2, &[(1, 7, 1)]);
        assert_eq!(told, [(1, vec![(3, 7, -1), (1, 7, 1)])]);
        // Other derivations come and go unseen.
        assert_eq!(epoch(union.as_mut(), 3, &[(3, 7, -3), (9, 7, 1), (1, 7, 1)]).0, []);
        // With the least one gone the next decides, when all that can change it has happened.
        let (told, _) = epoch(union.as_mut(), 4, &[(1, 7, -2)]);
        assert_eq!(told, [(1, vec![(1, 7, -1)]), (5, vec![(5, 7, 1)])]);
        let (told, _) = epoch(union.as_mut(), 5, &[(5, 7, -1), (9, 7, -1), (4, 8, -1), (2, 8, 1)]);
        assert_eq!(told, [(2, vec![(4, 8, -1), (2, 8, 1)]), (5, vec![(5, 7, -1)])]);
    }

    #[test]
    fn a_candidate_can_be_lost_before_its_turn() {
        let mut union = operator(true, 100);
        epoch(union.as_mut(), 1, &[(0, 7, 1), (3, 7, 1), (6, 7, 1)]);
        // What iteration 3 had was made of the row of iteration 0: here it goes together with it.
        let (told, _) = epoch(union.as_mut(), 2, &[(0, 7, -1), (3, 7, -1)]);
        assert_eq!(told, [(0, vec![(0, 7, -1)]), (6, vec![(6, 7, 1)])]);
        // An earlier iteration comes first.
        let (told, _) = epoch(union.as_mut(), 3, &[(6, 7, -1), (8, 7, 1), (9, 7, 1)]);
        assert_eq!(told, [(6, vec![(6, 7, -1)]), (8, vec![(8, 7, 1)])]);
    }

    #[test]
    fn union_all_passes_on_net_changes() {
        let mut all = operator(false, 100);
        let (told, _) = epoch(all.as_mut(), 1, &[(2, 7, 2), (0, 7, 1), (2, 7, -1), (1, 5, 1), (1, 5, -1)]);
        assert_eq!(told, [(0, vec![(0, 7, 1)]), (2, vec![(2, 7, 1)])]);
    }

    #[test]
    fn more_rows_than_there_is_room_for_stop_the_job() {
        let mut all = operator(false, 100);
        epoch(all.as_mut(), 1, &[(0, 1, 1 << 19), (1, 1, 1 << 19)]);
        epoch(all.as_mut(), 2, &[(0, 1, -(1 << 19))]);
        let result = all.apply(0, Epoch(3), batch(&[(0, 1, 1 << 20), (1, 1, 1)]), &mut Output::default());
        assert!(result.is_err_and(|error| error.to_string().contains("more than")));
    }

    #[test]
    fn rows_beyond_the_last_iteration_are_errors() {
        let mut union = operator(true, 2);
        assert_eq!(epoch(union.as_mut(), 1, &[(2, 1, 1), (3, 1, 1), (3, 2, 5)]), (vec![(2, vec![(2, 1, 1)])], 1));
        // The row that iteration 2 had is beyond the last one now, and the other is not any more.
        assert_eq!(
            epoch(union.as_mut(), 2, &[(2, 1, -1), (0, 2, 1)]),
            (vec![(0, vec![(0, 2, 1)]), (2, vec![(2, 1, -1)])], 0)
        );
        let mut all = operator(false, 2);
        assert_eq!(epoch(all.as_mut(), 1, &[(2, 1, 1), (3, 1, 3)]), (vec![(2, vec![(2, 1, 1)])], 3));
        assert_eq!(epoch(all.as_mut(), 2, &[(3, 1, -3)]), (vec![], -3));
    }
}
