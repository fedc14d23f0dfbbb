//! One side of a join: its rows, found by the join key, and how many matches they have where that is counted.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, BooleanArray, RecordBatch};
use arrow::buffer::NullBuffer;
use arrow::datatypes::{DataType, SchemaRef};
use arrow::error::ArrowError;
use changelog::{ChangeBatch, Epoch, canonical_key, hash_columns};
use hashbrown::HashMap;
use state::{ChangedRows, Holding, Matches, RowStore, RowStoreOptions};

use super::Join;
use super::residual::Pairs;
use crate::operators::aggregate::external;
use crate::operators::keyed::KeyedShard;
use crate::shared_index::{IndexSlot, OperatorIndex};

/// The rows of one side on one worker.
#[derive(Debug)]
pub(super) struct Side {
    schema: SchemaRef,
    slot: Arc<IndexSlot>,
    keys: Vec<usize>,
    /// For each column, the key column of the other side that has the same value in each match.
    same: Vec<Option<usize>>,
    /// The keys in which a NULL keeps a row from matching.
    strict: Vec<usize>,
    /// For a side that shows its matches under a further condition: by row, how many there are. Rows that
    /// were read back from a checkpoint are missing until they are first asked for.
    pub match_counts: Option<HashMap<u64, i64>>,
}

/// A batch's keys.
#[derive(Debug)]
pub(super) struct Keys {
    /// In canonical form.
    pub columns: Vec<ArrayRef>,
    pub hashes: Vec<u64>,
    /// Rows that can match; `None`: all.
    pub matchable: Option<NullBuffer>,
}

impl Keys {
    pub fn can_match(&self, row: usize) -> bool {
        self.matchable.as_ref().is_none_or(|valid| valid.is_valid(row))
    }

    /// Columns and hashes, as the other side's store takes them.
    pub fn probe(&self) -> (&[ArrayRef], &[u64]) {
        (&self.columns, &self.hashes)
    }
}

impl Side {
    pub fn new(join: &Join, input: usize, shard: &KeyedShard) -> Side {
        let (schema, mode) = &shard.inputs[input];
        let keys = join.keys[input].clone();
        let store = RowStore::new(RowStoreOptions {
            id: shard.state_tables[input],
            schema: Arc::clone(schema),
            unique_key: None,
            placement: Some(join.placing(input)),
            key_groups: shard.key_groups.clone(),
            holding: match join.replicated() {
                None => Holding::Own,
                Some(replicated) if replicated == input => Holding::All,
                // They lay on one worker once.
                Some(_) => Holding::OwnOfAny,
            },
            key_index: Some(keys.clone()),
            mode: *mode,
            pins: Arc::clone(&shard.pins),
            store: shard.store.clone(),
        });
        let strict = keys.iter().zip(&join.null_safe).filter(|(_, safe)| !**safe).map(|(key, _)| *key).collect();
        let mut same = vec![None; schema.fields().len()];
        for (own, other) in keys.iter().zip(&join.keys[1 - input]) {
            if equal_is_same(schema.field(*own).data_type()) {
                same[*own] = Some(*other);
            }
        }
        let counts = join.residual.is_some() && join.kind.shows_matches(input);
        let slot = IndexSlot::new(store);
        Side { schema: Arc::clone(schema), slot, keys, same, strict, match_counts: counts.then(HashMap::new) }
    }

    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    pub fn store(&self) -> Arc<RowStore> {
        Arc::clone(self.slot.index().store())
    }

    /// Whether joins of other jobs have the same index. Then it takes an epoch's changes as a whole, before they are joined.
    pub fn is_shared(&self) -> bool {
        self.slot.index().is_shared()
    }

    /// The index, for joins of other jobs that keep the same rows under the same key.
    pub fn index(&self, input: usize) -> OperatorIndex {
        let order = (0..self.schema.fields().len()).collect();
        OperatorIndex {
            input,
            order,
            keys: self.keys.clone(),
            strict: self.strict.clone(),
            slot: Arc::clone(&self.slot),
        }
    }

    /// Lets a shared index have all changes of an epoch.
    pub fn take(&self, epoch: Epoch, net: &ChangeBatch) -> Result<(), ArrowError> {
        let keys = self.keys_of(net.rows(), net.key_hashes());
        let kept = kept_rows(net, &keys)?;
        check_missing(self.slot.index().take(epoch, &kept).map_err(external)?)
    }

    /// The keys of this side's rows.
    pub fn keys_of(&self, rows: &RecordBatch, hashes: Option<&[u64]>) -> Keys {
        let columns: Vec<ArrayRef> = self.keys.iter().map(|column| canonical_key(rows.column(*column))).collect();
        let hashes = match hashes {
            Some(hashes) => hashes.to_vec(),
            None => {
                let mut hashes = Vec::new();
                hash_columns(&columns, rows.num_rows(), &mut hashes);
                hashes
            }
        };
        let nulls = self.strict.iter().map(|column| rows.column(*column).logical_nulls());
        let matchable = nulls.fold(None, |all, next| NullBuffer::union(all.as_ref(), next.as_ref()));
        Keys { columns, hashes, matchable: matchable.filter(|nulls| nulls.null_count() > 0) }
    }

    /// Changes of the other side, `input`, with what they match here.
    pub fn pairs<'a>(&'a self, input: usize, changes: &'a RecordBatch, matches: &'a Matches) -> Pairs<'a> {
        Pairs { input, changes, matches, same: &self.same, held_width: self.schema.fields().len() }
    }

    /// Keeps a batch's changes; `matches` are how many each of its rows has, where that is counted.
    pub fn keep(&mut self, epoch: Epoch, batch: &ChangeBatch, keys: &Keys, matches: &[i64]) -> Result<(), ArrowError> {
        if self.is_shared() {
            return Ok(());
        }
        let batch = &kept_rows(batch, keys)?;
        let mut changed = ChangedRows::default();
        let outcome = self.store().apply_noting(epoch, batch, &mut changed).map_err(external)?;
        check_missing(outcome.missing)?;
        let Some(counts) = &mut self.match_counts else { return Ok(()) };
        for id in &changed.ended {
            counts.remove(id);
        }
        let matches = (0..keys.hashes.len()).filter(|row| keys.can_match(*row)).map(|row| matches[row]);
        let mut id = changed.first_begun;
        for (row, matches) in matches.enumerate() {
            for _ in 0..batch.weight(row).max(0) {
                counts.insert(id, matches);
                id += 1;
            }
        }
        Ok(())
    }
}

/// The rows of a batch that can match, which are those that are kept.
fn kept_rows(batch: &ChangeBatch, keys: &Keys) -> Result<ChangeBatch, ArrowError> {
    match &keys.matchable {
        None => Ok(batch.clone()),
        Some(valid) => batch.filter(&BooleanArray::new(valid.inner().clone(), None)),
    }
}

fn check_missing(missing: u64) -> Result<(), ArrowError> {
    match missing {
        0 => Ok(()),
        _ => Err(ArrowError::ComputeError(format!("{missing} retractions of rows that a join does not have"))),
    }
}

/// Whether equal values of a type are the same value: not so with 0.0 and −0.0.
fn equal_is_same(data_type: &DataType) -> bool {
    !matches!(data_type, DataType::Float32 | DataType::Float64 | DataType::List(_))
}
