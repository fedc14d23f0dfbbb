//! Groups of a part of the rows, kept for a moment: what is aggregated before an exchange.
//!
//! The same records and index as a group table's, without epochs, readers and checkpoints.

use arrow::array::ArrayRef;
use arrow::datatypes::DataType;
use changelog::{Accumulator, Records, RowCodec, Weights, hash_columns};

use super::AccumulatorInput;
use super::fold::{BLOCK_ROWS, fold_block, write_key};
use super::index::SlotIndex;
use super::keys::{KeyForm, KeyRows, column_of_words};
use super::records::{GroupRecords, HEADER, LINK, ROWS};
use crate::StateError;

/// Groups with accumulators, of which partial results are taken.
#[derive(Debug)]
pub struct PartialGroups {
    key_types: Vec<DataType>,
    key_form: KeyForm,
    codec: RowCodec,
    offsets: Vec<usize>,
    width: usize,
    records: GroupRecords,
    accumulators: Vec<Box<dyn Accumulator>>,
}

/// Partial results: one row per group.
#[derive(Debug)]
pub struct Partials {
    /// The key columns.
    pub keys: Vec<ArrayRef>,
    /// The total weight of each group's rows; may be 0.
    pub row_counts: Vec<i64>,
    /// Each accumulator's partial columns.
    pub columns: Vec<Vec<ArrayRef>>,
}

impl PartialGroups {
    /// No groups yet. The accumulators keep no side state and have partial results.
    #[must_use]
    pub fn new(key_types: Vec<DataType>, accumulators: Vec<Box<dyn Accumulator>>) -> PartialGroups {
        let key_form = KeyForm::of(&key_types);
        let mut width = HEADER + key_form.word_count();
        let mut offsets = Vec::new();
        for accumulator in &accumulators {
            assert!(!accumulator.has_side_state(), "a partial result is words only");
            offsets.push(width);
            width += accumulator.word_count();
        }
        PartialGroups {
            codec: RowCodec::new(key_types.clone()),
            key_types,
            key_form,
            offsets,
            width,
            records: GroupRecords::new(width, false),
            accumulators,
        }
    }

    /// How many groups there are.
    #[must_use]
    pub fn group_count(&self) -> usize {
        self.records.slot_count() as usize
    }

    /// Folds n rows: canonical key columns (n), weights (n, or all +1), and an input per accumulator.
    pub fn fold(&mut self, keys: &[ArrayRef], row_count: usize, weights: Weights<'_>, inputs: &[AccumulatorInput]) {
        let key_rows = KeyRows::new(&self.key_form, &self.codec, keys);
        let key_words = self.key_form.word_count();
        for start in (0..row_count).step_by(BLOCK_ROWS) {
            let end = (start + BLOCK_ROWS).min(row_count);
            let weights = weights.map(|w| &w[start..end]);
            if keys.is_empty() {
                self.use_global(end - start);
            } else {
                let hashes = || {
                    let block: Vec<ArrayRef> = keys.iter().map(|key| key.slice(start, end - start)).collect();
                    let mut hashes = Vec::new();
                    hash_columns(&block, end - start, &mut hashes);
                    hashes
                };
                self.records.find_slots(&key_rows, start, end - start, hashes, |records, row, hash| {
                    let slot = records.add_slot(SlotIndex::tag(hash));
                    write_key(records, slot, &key_rows, start + row, key_words);
                    slot
                });
            }
            self.records.count(weights);
            fold_block(&mut self.records, &mut self.accumulators, &self.offsets, inputs, (start, end), weights);
        }
    }

    fn use_global(&mut self, row_count: usize) {
        if self.records.slot_count() == 0 {
            self.records.add_slot(0);
        }
        self.records.slots.clear();
        self.records.slots.resize(row_count, 0);
    }

    /// The partial results of all groups, which are then forgotten.
    ///
    /// # Errors
    /// If keys cannot be made into columns again.
    pub fn take(&mut self) -> Result<Partials, StateError> {
        let slots: Vec<u32> = (0..self.records.slot_count()).collect();
        let words = self.records.gather(&slots);
        let row_counts = words.chunks_exact(self.width).map(|record| record[ROWS] as i64).collect();
        let keys = self.key_columns(&slots, &words)?;
        let mut columns = Vec::with_capacity(self.accumulators.len());
        for (accumulator, offset) in self.accumulators.iter().zip(&self.offsets) {
            let records = Records::new(&words, &slots, self.width, *offset, accumulator.word_count());
            columns.push(accumulator.partial(&records).unwrap_or_default());
        }
        self.records.clear();
        Ok(Partials { keys, row_counts, columns })
    }

    fn key_columns(&self, slots: &[u32], words: &[u64]) -> Result<Vec<ArrayRef>, StateError> {
        let KeyForm::Words(widths) = &self.key_form else {
            return Ok(self.codec.decode(slots.iter().map(|slot| &*self.records.key_bytes[*slot as usize]))?);
        };
        let record = |i: usize| &words[i * self.width..(i + 1) * self.width];
        let mut columns = Vec::with_capacity(widths.len());
        let mut start = HEADER;
        for (column, width) in widths.iter().enumerate() {
            let words_of = |i: usize| &record(i)[start..start + width];
            let null = |i: usize| record(i)[LINK] >> 32 >> column & 1 == 1;
            columns.push(column_of_words(&self.key_types[column], slots.len(), words_of, null)?);
            start += width;
        }
        Ok(columns)
    }
}
