//! A step of a join: changes of one side meet what the other side holds, and are then held themselves.
//!
//! One row may have a million matches, so a step stops after some of them and is gone on with later (`Stage`).

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, RecordBatch, RecordBatchOptions, UInt32Array, new_null_array};
use arrow::buffer::ScalarBuffer;
use arrow::compute::{filter, take_arrays};
use arrow::error::ArrowError;
use changelog::{ChangeBatch, Epoch, RowCodec};
use hashbrown::HashMap;
use state::{MatchCursor, Matches};

use super::residual::{evaluate, pair_schema};
use super::side::Keys;
use super::{JoinKind, JoinOperator};
use crate::Output;
use crate::operators::aggregate::external;

/// Pairs that are made at a time.
const PAIRS_PER_BATCH: usize = 16 << 10;
/// Pairs after which a step stops.
const PAIRS_PER_CALL: usize = 64 << 10;

/// Changes of a side that are being joined.
#[derive(Debug)]
pub(super) struct Step {
    input: usize,
    batch: ChangeBatch,
    keys: Keys,
    /// For each change how many matches it has.
    match_counts: Vec<i64>,
    /// By held row how many matches it gets or loses.
    gained: BTreeMap<u64, i64>,
    stage: Stage,
}

/// How far a step has come; what is not asked for by the join's kind is passed over.
#[derive(Debug)]
enum Stage {
    /// Pairs are put out, and counted if there is a further condition.
    Pairs(MatchCursor),
    /// The changes are put out, if their side shows whether they match.
    Show,
    /// Held rows are put out anew whose keys got their first row or lost their last one.
    Keys(ChangedKeys, MatchCursor),
    /// Held rows are put out anew whose counts of matches came to zero or left it: row, and whether it has matches now.
    Counted(Vec<(u64, bool)>),
    /// The changes are held.
    Keep,
    Done,
}

/// Keys of a batch, and how many rows each has before and after it.
#[derive(Debug)]
struct ChangedKeys {
    columns: Vec<ArrayRef>,
    hashes: Vec<u64>,
    before: Vec<i64>,
    after: Vec<i64>,
}

impl JoinOperator {
    /// Has changes of side `input` joined with the other side and kept, after those that came before.
    pub(super) fn begin(&mut self, input: usize, batch: ChangeBatch) {
        self.steps.push_back((input, batch));
    }

    /// Goes on with what was begun, up to some output.
    pub(super) fn go_on(&mut self, epoch: Epoch, output: &mut Output) -> Result<(), ArrowError> {
        let mut left = PAIRS_PER_CALL;
        loop {
            let Some(mut step) = self.step.take() else {
                let Some((input, batch)) = self.steps.pop_front() else { return Ok(()) };
                self.step = Some(self.new_step(input, batch));
                continue;
            };
            while !matches!(step.stage, Stage::Done) && left > 0 {
                let row_count = self.advance(&mut step, epoch, output)?;
                left = left.saturating_sub(row_count);
            }
            if !matches!(step.stage, Stage::Done) {
                self.step = Some(step);
                output.more = true;
                return Ok(());
            }
        }
    }

    fn new_step(&self, input: usize, batch: ChangeBatch) -> Step {
        // The hashes by which rows came here are those of their keys, if there are keys.
        let hashes = batch.key_hashes().filter(|_| self.spec.replicated().is_none());
        let keys = self.sides[input].keys_of(batch.rows(), hashes);
        let pairs = self.spec.kind.gives_pairs() || self.spec.residual.is_some();
        let stage = if pairs { Stage::Pairs(MatchCursor::start()) } else { Stage::Show };
        Step { input, match_counts: vec![0; batch.row_count()], batch, keys, gained: BTreeMap::new(), stage }
    }

    /// Does a part of a stage, and gives how many rows it took.
    fn advance(&mut self, step: &mut Step, epoch: Epoch, output: &mut Output) -> Result<usize, ArrowError> {
        let (input, other) = (step.input, 1 - step.input);
        let counted = self.spec.residual.is_some();
        match std::mem::replace(&mut step.stage, Stage::Done) {
            Stage::Pairs(mut cursor) => {
                let mut matches = std::mem::take(&mut self.matches);
                let (pair_count, more) = self.pair(step, &mut cursor, &mut matches, output)?;
                self.matches = matches;
                step.stage = if more { Stage::Pairs(cursor) } else { Stage::Show };
                Ok(pair_count)
            }
            Stage::Show => {
                if self.spec.kind.shows_matches(input) {
                    if !counted {
                        let keys = step.keys.probe();
                        let counts = self.sides[other].store().match_counts(keys.0, keys.1).map_err(external)?;
                        step.match_counts = counts.into_iter().map(|count| count as i64).collect();
                    }
                    let matched = |row: usize| step.keys.can_match(row) && step.match_counts[row] > 0;
                    let matched: Vec<bool> = (0..step.match_counts.len()).map(matched).collect();
                    self.show(input, step.batch.rows().columns(), step.batch.weight_buffer(), &matched, output)?;
                }
                step.stage = match (self.spec.kind.shows_matches(other), counted) {
                    (false, _) => Stage::Keep,
                    (true, true) => Stage::Counted(self.change_counts(input, &step.gained)?),
                    (true, false) => Stage::Keys(self.changed_keys(step)?, MatchCursor::start()),
                };
                Ok(step.batch.row_count())
            }
            Stage::Keys(keys, mut cursor) => {
                let (row_count, more) = self.show_keys(other, &keys, &mut cursor, output)?;
                step.stage = if more { Stage::Keys(keys, cursor) } else { Stage::Keep };
                Ok(row_count)
            }
            Stage::Counted(mut changed) => {
                let some = changed.split_off(changed.len().saturating_sub(PAIRS_PER_BATCH));
                let (ids, matched): (Vec<u64>, Vec<bool>) = some.into_iter().unzip();
                if !ids.is_empty() {
                    let rows = self.sides[other].store().rows_of(&ids).map_err(external)?;
                    self.show_changed(other, rows.columns(), &matched, output)?;
                }
                step.stage = if changed.is_empty() { Stage::Keep } else { Stage::Counted(changed) };
                Ok(ids.len())
            }
            Stage::Keep => {
                self.sides[input].keep(epoch, &step.batch, &step.keys, &step.match_counts)?;
                Ok(0)
            }
            Stage::Done => Ok(0),
        }
    }

    /// Puts out some pairs of the changes with the rows that the other side holds, and counts them. Gives how many there
    /// were, and whether there are more.
    fn pair(
        &self,
        step: &mut Step,
        cursor: &mut MatchCursor,
        matches: &mut Matches,
        output: &mut Output,
    ) -> Result<(usize, bool), ArrowError> {
        let Step { input, batch, keys, match_counts, gained, .. } = step;
        let other = &self.sides[1 - *input];
        let counts_held = self.spec.residual.is_some() && self.spec.kind.shows_matches(1 - *input);
        let wanted = |row| keys.can_match(row);
        let more =
            other.store().find_matches(keys.probe(), &wanted, cursor, PAIRS_PER_BATCH, matches).map_err(external)?;
        let pair_count = matches.len();
        if matches.is_empty() {
            return Ok((0, more));
        }
        let mut columns = other.pairs(*input, batch.rows(), matches).columns()?;
        if let Some(holds) = self.holds(&columns, matches, batch, output)? {
            matches.retain(&holds);
            if matches.len() < holds.len() {
                let keep = BooleanArray::from(holds);
                columns = columns.iter().map(|column| filter(column, &keep)).collect::<Result<_, _>>()?;
            }
            matches.positions.iter().for_each(|row| match_counts[*row as usize] += 1);
            if counts_held {
                let each = matches.ids.iter().zip(&matches.positions);
                each.for_each(|(id, row)| *gained.entry(*id).or_default() += batch.weight(*row as usize));
            }
        }
        if self.spec.kind.gives_pairs() {
            let weights = batch.weights().map(|w| matches.positions.iter().map(|row| w[*row as usize]).collect());
            output.push(self.result(columns, weights, matches.len())?);
        }
        Ok((pair_count, more))
    }

    /// For each pair whether the further condition holds, if there is one. Pairs for which it fails are errors.
    fn holds(
        &self,
        columns: &[ArrayRef],
        matches: &Matches,
        batch: &ChangeBatch,
        output: &mut Output,
    ) -> Result<Option<Vec<bool>>, ArrowError> {
        let Some(condition) = &self.spec.residual else { return Ok(None) };
        let schema = pair_schema(self.sides[0].schema(), self.sides[1].schema());
        let (holds, errors) = evaluate(condition.as_ref(), &schema, columns, matches.len())?;
        for (pair, error) in errors {
            output.errors.push((error, batch.weight(matches.positions[pair] as usize)));
        }
        Ok(Some(holds))
    }

    /// Puts out rows of a side that shows whether they have a match.
    fn show(
        &self,
        input: usize,
        columns: &[ArrayRef],
        weights: Option<ScalarBuffer<i64>>,
        matched: &[bool],
        output: &mut Output,
    ) -> Result<(), ArrowError> {
        let row_count = matched.len();
        if self.spec.kind == JoinKind::Mark {
            let mark: ArrayRef = Arc::new(BooleanArray::from(matched.to_vec()));
            let columns = columns.iter().cloned().chain([mark]).collect();
            output.push(self.result(columns, weights, row_count)?);
            return Ok(());
        }
        let wanted = self.spec.kind == JoinKind::Semi;
        let positions: UInt32Array =
            (0..row_count).filter(|row| matched[*row] == wanted).map(|row| row as u32).collect();
        if positions.is_empty() {
            return Ok(());
        }
        let weights = weights.map(|w| positions.values().iter().map(|row| w[*row as usize]).collect());
        let own = if positions.len() == row_count { columns.to_vec() } else { take_arrays(columns, &positions, None)? };
        let nulls = |side: usize| -> Vec<ArrayRef> {
            let fields = self.sides[side].schema().fields();
            fields.iter().map(|field| new_null_array(field.data_type(), positions.len())).collect()
        };
        let columns = match (self.spec.kind.gives_pairs(), input) {
            (false, _) => own,
            (true, 0) => own.into_iter().chain(nulls(1)).collect(),
            (true, _) => nulls(0).into_iter().chain(own).collect(),
        };
        output.push(self.result(columns, weights, positions.len())?);
        Ok(())
    }

    /// Shows rows anew that got their first match or lost their last one.
    fn show_changed(
        &self,
        side: usize,
        columns: &[ArrayRef],
        matched: &[bool],
        output: &mut Output,
    ) -> Result<(), ArrowError> {
        let before: Vec<bool> = matched.iter().map(|matched| !matched).collect();
        self.show(side, columns, Some(vec![-1; matched.len()].into()), &before, output)?;
        self.show(side, columns, Some(vec![1; matched.len()].into()), matched, output)
    }

    /// Without a further condition: the keys of a step, with how many rows its side has of them before and after.
    fn changed_keys(&self, step: &Step) -> Result<ChangedKeys, ArrowError> {
        let (first_rows, net) = net_by_key(&step.batch, &step.keys);
        let positions = UInt32Array::from(first_rows);
        let columns = take_arrays(&step.keys.columns, &positions, None)?;
        let hashes: Vec<u64> = positions.values().iter().map(|row| step.keys.hashes[*row as usize]).collect();
        let own = &self.sides[step.input];
        let held = own.store().match_counts(&columns, &hashes).map_err(external)?.into_iter().map(|count| count as i64);
        // A shared index has the changes already.
        let (before, after): (Vec<i64>, Vec<i64>) = match own.is_shared() {
            true => held.zip(&net).map(|(count, net)| (count - net, count)).unzip(),
            false => held.zip(&net).map(|(count, net)| (count, count + net)).unzip(),
        };
        assert!(after.iter().all(|count| *count >= 0), "a join's side never has fewer than no rows of a key");
        Ok(ChangedKeys { columns, hashes, before, after })
    }

    /// Shows some rows anew of keys that got their first row on the other side, or lost their last one. Gives how many rows
    /// there were, and whether there are more.
    fn show_keys(
        &self,
        side: usize,
        keys: &ChangedKeys,
        cursor: &mut MatchCursor,
        output: &mut Output,
    ) -> Result<(usize, bool), ArrowError> {
        let ChangedKeys { columns, hashes, before, after } = keys;
        let changes = |key: usize| (before[key] > 0) != (after[key] > 0);
        let held = &self.sides[side];
        let mut found = Matches::default();
        let more = held
            .store()
            .find_matches((columns, hashes), &changes, cursor, PAIRS_PER_BATCH, &mut found)
            .map_err(external)?;
        if !found.is_empty() {
            let rows = (0..held.schema().fields().len()).map(|c| found.column(c)).collect::<Result<Vec<_>, _>>()?;
            let matched: Vec<bool> = found.positions.iter().map(|key| after[*key as usize] > 0).collect();
            self.show_changed(side, &rows, &matched, output)?;
        }
        Ok((found.len(), more))
    }

    /// With a further condition: counts anew, and gives the held rows whose count came to zero or left it.
    fn change_counts(&mut self, input: usize, gained: &BTreeMap<u64, i64>) -> Result<Vec<(u64, bool)>, ArrowError> {
        let other = 1 - input;
        let ids: Vec<u64> = gained.keys().copied().collect();
        self.count_unknown(other, &ids)?;
        let mut changed = Vec::new();
        let Some(counts) = &mut self.sides[other].match_counts else { return Ok(changed) };
        for (id, gained) in gained {
            let Some(count) = counts.get_mut(id) else { unreachable!("all were counted") };
            let before = *count;
            *count += gained;
            assert!(*count >= 0, "a row never has fewer than no matches");
            if (before > 0) != (*count > 0) {
                changed.push((*id, *count > 0));
            }
        }
        Ok(changed)
    }

    /// Counts the matches of held rows that were read back from a checkpoint.
    fn count_unknown(&mut self, side: usize, ids: &[u64]) -> Result<(), ArrowError> {
        let Some(counts) = &self.sides[side].match_counts else { return Ok(()) };
        let unknown: Vec<u64> = ids.iter().copied().filter(|id| !counts.contains_key(id)).collect();
        let mut found: HashMap<u64, i64> = unknown.iter().map(|id| (*id, 0)).collect();
        for ids in unknown.chunks(PAIRS_PER_BATCH) {
            let rows = self.sides[side].store().rows_of(ids).map_err(external)?;
            let keys = self.sides[side].keys_of(&rows, None);
            let other = &self.sides[1 - side];
            let (mut cursor, mut more, mut matches) = (MatchCursor::start(), true, Matches::default());
            while more {
                more = other
                    .store()
                    .find_matches(keys.probe(), &|row| keys.can_match(row), &mut cursor, PAIRS_PER_BATCH, &mut matches)
                    .map_err(external)?;
                if matches.is_empty() {
                    continue;
                }
                let columns = other.pairs(side, &rows, &matches).columns()?;
                // What fails was reported when the pair came to be.
                let weightless = ChangeBatch::insertions(rows.clone());
                let Some(holds) = self.holds(&columns, &matches, &weightless, &mut Output::default())? else {
                    continue;
                };
                for (row, _) in matches.positions.iter().zip(holds).filter(|(_, holds)| *holds) {
                    *found.entry(ids[*row as usize]).or_default() += 1;
                }
            }
        }
        if let Some(counts) = &mut self.sides[side].match_counts {
            counts.extend(found);
        }
        Ok(())
    }

    fn result(
        &self,
        columns: Vec<ArrayRef>,
        weights: Option<ScalarBuffer<i64>>,
        row_count: usize,
    ) -> Result<ChangeBatch, ArrowError> {
        let options = RecordBatchOptions::new().with_row_count(Some(row_count));
        let rows = RecordBatch::try_new_with_options(Arc::clone(&self.schema), columns, &options)?;
        Ok(match weights {
            Some(weights) => ChangeBatch::weighted(rows, weights),
            None => ChangeBatch::insertions(rows),
        })
    }
}

/// The distinct keys of a batch that can match: for each its first row, and the sum of its weights.
fn net_by_key(batch: &ChangeBatch, keys: &Keys) -> (Vec<u32>, Vec<i64>) {
    let wanted = (0..batch.row_count()).filter(|row| keys.can_match(*row));
    if keys.columns.is_empty() {
        let total = wanted.map(|row| batch.weight(row)).sum();
        return (vec![0; usize::from(!batch.is_empty())], vec![total; usize::from(!batch.is_empty())]);
    }
    let encoded = RowCodec::new(keys.columns.iter().map(|c| c.data_type().clone()).collect()).encode(&keys.columns);
    let mut first_rows = Vec::new();
    let mut net: Vec<i64> = Vec::new();
    let mut seen: HashMap<&[u8], usize> = HashMap::new();
    for row in wanted {
        let at = *seen.entry(encoded.row(row)).or_insert_with(|| {
            first_rows.push(row as u32);
            net.push(0);
            net.len() - 1
        });
        net[at] += batch.weight(row);
    }
    (first_rows, net)
}
