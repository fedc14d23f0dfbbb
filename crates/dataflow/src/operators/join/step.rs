//! A step of a join: changes of one side meet what the other side holds, and are then held themselves.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, RecordBatch, RecordBatchOptions, UInt32Array, new_null_array};
use arrow::buffer::ScalarBuffer;
use arrow::compute::{filter, take_arrays};
use arrow::error::ArrowError;
use changelog::{ChangeBatch, Epoch, RowCodec};
use hashbrown::HashMap;
use state::{MatchCursor, Matches};

use super::residual::{Pairs, evaluate, pair_schema};
use super::side::Keys;
use super::{JoinKind, JoinOperator};
use crate::Output;
use crate::operators::aggregate::external;

/// Pairs that are made at a time.
const PAIRS_PER_BATCH: usize = 16 << 10;

impl JoinOperator {
    /// Joins changes of side `input` with the other side, and keeps them.
    pub(super) fn step(
        &mut self,
        input: usize,
        epoch: Epoch,
        batch: &ChangeBatch,
        output: &mut Output,
    ) -> Result<(), ArrowError> {
        let other = 1 - input;
        let keys = self.sides[input].keys_of(batch.rows(), batch.key_hashes());
        let kind = self.spec.kind;
        let counted = self.spec.residual.is_some();
        // For each change how many matches it has, and by held row how many it gets or loses.
        let mut match_counts = vec![0i64; batch.row_count()];
        let mut gained: BTreeMap<u64, i64> = BTreeMap::new();
        if kind.gives_pairs() || counted {
            self.pair(input, batch, &keys, (&mut match_counts, &mut gained), output)?;
        }
        if kind.shows_matches(input) {
            if !counted {
                let counts = self.sides[other].store().match_counts(&keys.columns, &keys.hashes).map_err(external)?;
                match_counts = counts.into_iter().map(|count| count as i64).collect();
            }
            let matched: Vec<bool> =
                (0..match_counts.len()).map(|row| keys.can_match(row) && match_counts[row] > 0).collect();
            self.show(input, batch.rows().columns(), batch.weight_buffer(), &matched, output)?;
        }
        if kind.shows_matches(other) {
            match counted {
                true => self.change_counted(input, &gained, output)?,
                false => self.change_keys(input, batch, &keys, output)?,
            }
        }
        self.sides[input].keep(epoch, batch, &keys, &match_counts)
    }

    /// Puts out the pairs of the changes with the rows that the other side holds, and counts them.
    fn pair(
        &self,
        input: usize,
        batch: &ChangeBatch,
        keys: &Keys,
        (match_counts, gained): (&mut [i64], &mut BTreeMap<u64, i64>),
        output: &mut Output,
    ) -> Result<(), ArrowError> {
        let other = &self.sides[1 - input];
        let counts_held = self.spec.residual.is_some() && self.spec.kind.shows_matches(1 - input);
        let mut cursor = MatchCursor::start();
        let mut more = true;
        while more {
            let matches;
            let wanted = |row| keys.can_match(row);
            (matches, more) =
                other.store().find_matches(keys.probe(), &wanted, &mut cursor, PAIRS_PER_BATCH).map_err(external)?;
            if matches.is_empty() {
                continue;
            }
            let pairs =
                Pairs { input, changes: batch.rows(), matches: &matches, held_width: other.schema().fields().len() };
            let mut columns = pairs.columns()?;
            let mut matches = matches;
            if let Some(holds) = self.holds(&columns, &matches, batch, output)? {
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
        }
        Ok(())
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

    /// Without a further condition: the keys that get their first row on side `input`, or lose their last one, change the
    /// other side's rows.
    fn change_keys(
        &self,
        input: usize,
        batch: &ChangeBatch,
        keys: &Keys,
        output: &mut Output,
    ) -> Result<(), ArrowError> {
        let (own, other) = (&self.sides[input], &self.sides[1 - input]);
        let (first_rows, net) = net_by_key(batch, keys);
        let positions = UInt32Array::from(first_rows);
        let columns = take_arrays(&keys.columns, &positions, None)?;
        let hashes: Vec<u64> = positions.values().iter().map(|row| keys.hashes[*row as usize]).collect();
        let held = own.store().match_counts(&columns, &hashes).map_err(external)?.into_iter().map(|count| count as i64);
        // A shared index has the changes already.
        let (before, after): (Vec<i64>, Vec<i64>) = match own.is_shared() {
            true => held.zip(&net).map(|(count, net)| (count - net, count)).unzip(),
            false => held.zip(&net).map(|(count, net)| (count, count + net)).unzip(),
        };
        assert!(after.iter().all(|count| *count >= 0), "a join's side never has fewer than no rows of a key");
        let changes = |key: usize| (before[key] > 0) != (after[key] > 0);
        let mut cursor = MatchCursor::start();
        let mut more = true;
        while more {
            let held;
            (held, more) = other
                .store()
                .find_matches((&columns, &hashes), &changes, &mut cursor, PAIRS_PER_BATCH)
                .map_err(external)?;
            if held.is_empty() {
                continue;
            }
            let rows = (0..other.schema().fields().len()).map(|c| held.column(c)).collect::<Result<Vec<_>, _>>()?;
            let matched: Vec<bool> = held.positions.iter().map(|key| after[*key as usize] > 0).collect();
            self.show_changed(1 - input, &rows, &matched, output)?;
        }
        Ok(())
    }

    /// With a further condition: held rows whose count of matches comes to zero or leaves it.
    fn change_counted(
        &mut self,
        input: usize,
        gained: &BTreeMap<u64, i64>,
        output: &mut Output,
    ) -> Result<(), ArrowError> {
        let other = 1 - input;
        let ids: Vec<u64> = gained.keys().copied().collect();
        self.count_unknown(other, &ids)?;
        let Some(counts) = &mut self.sides[other].match_counts else { return Ok(()) };
        let mut changed = Vec::new();
        let mut matched = Vec::new();
        for (id, gained) in gained {
            let Some(count) = counts.get_mut(id) else { unreachable!("all were counted") };
            let before = *count;
            *count += gained;
            assert!(*count >= 0, "a row never has fewer than no matches");
            if (before > 0) != (*count > 0) {
                changed.push(*id);
                matched.push(*count > 0);
            }
        }
        for (ids, matched) in changed.chunks(PAIRS_PER_BATCH).zip(matched.chunks(PAIRS_PER_BATCH)) {
            let rows = self.sides[other].store().rows_of(ids).map_err(external)?;
            self.show_changed(other, rows.columns(), matched, output)?;
        }
        Ok(())
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
            let (mut cursor, mut more) = (MatchCursor::start(), true);
            while more {
                let matches;
                (matches, more) = other
                    .store()
                    .find_matches(keys.probe(), &|row| keys.can_match(row), &mut cursor, PAIRS_PER_BATCH)
                    .map_err(external)?;
                if matches.is_empty() {
                    continue;
                }
                let width = other.schema().fields().len();
                let columns = Pairs { input: side, changes: &rows, matches: &matches, held_width: width }.columns()?;
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
