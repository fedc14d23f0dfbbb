//! The wrapper that breaks an operator: what goes in, or what comes out, is not what it should be.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Int64Array, RecordBatch, Scalar};
use arrow::compute::{cast, is_not_null, kernels::zip::zip};
use arrow::datatypes::{DataType, Int64Type};
use arrow::error::ArrowError;
use arrow::util::display::array_value_to_string;
use changelog::{ChangeBatch, Epoch};

use super::Mutation;
use crate::{Operator, Output};

/// A broken operator.
#[derive(Debug)]
pub(super) struct Broken {
    inner: Box<dyn Operator>,
    mutation: Mutation,
    /// Which inputs have changed in the epoch at hand.
    changed: [bool; 8],
    /// Whether it had insertions.
    inserted: bool,
    /// Whether it had retractions.
    retracted: bool,
    /// The first epoch that it saw.
    first: Option<Epoch>,
    /// What has been retracted in earlier epochs, and in this one.
    gone: BTreeSet<String>,
    going: BTreeSet<String>,
}

impl Broken {
    pub(super) fn new(inner: Box<dyn Operator>, mutation: Mutation) -> Broken {
        Broken {
            inner,
            mutation,
            changed: [false; 8],
            inserted: false,
            retracted: false,
            first: None,
            gone: BTreeSet::new(),
            going: BTreeSet::new(),
        }
    }

    /// What is seen of a batch.
    fn seen(&self, input: usize, epoch: Epoch, batch: ChangeBatch) -> Result<Option<ChangeBatch>, ArrowError> {
        let retracts = (0..batch.row_count()).any(|row| batch.weight(row) < 0);
        let others = (0..self.changed.len()).any(|other| other != input && self.changed[other]);
        Ok(match self.mutation {
            Mutation::LosesRetractions(only) if only.is_none_or(|only| only == input) => {
                Some(keep(&batch, |row| batch.weight(row) > 0)?)
            }
            Mutation::LosesNewHalves if retracts => Some(keep(&batch, |row| batch.weight(row) < 0)?),
            Mutation::CountsOneCopy => {
                let weights: Vec<i64> = (0..batch.row_count()).map(|row| batch.weight(row).signum()).collect();
                Some(ChangeBatch::weighted(batch.rows().clone(), weights.into()))
            }
            Mutation::LosesNulls => Some(keep(&batch, |row| batch.rows().columns().iter().all(|c| c.is_valid(row)))?),
            Mutation::SeesTwice => {
                let weights: Vec<i64> = (0..batch.row_count())
                    .map(|row| batch.weight(row) * if batch.weight(row) > 0 { 2 } else { 1 })
                    .collect();
                Some(ChangeBatch::weighted(batch.rows().clone(), weights.into()))
            }
            Mutation::SeesFirstBatch if self.changed[input] => None,
            Mutation::SeesOneSide if others => None,
            Mutation::StaleAfterRestart if self.first.is_none_or(|first| first == epoch) => None,
            _ => Some(batch),
        })
    }

    /// What is put out of a batch.
    fn put_out(&mut self, batch: ChangeBatch) -> Result<ChangeBatch, ArrowError> {
        if batch.holds_partials() {
            return Ok(batch);
        }
        let columns = batch.rows().columns();
        let padded = |row: usize| [columns.first(), columns.last()].into_iter().flatten().any(|c| c.is_null(row));
        let only_retractions = self.retracted && !self.inserted;
        match self.mutation {
            Mutation::KeepsOldRows => keep(&batch, |row| batch.weight(row) > 0),
            Mutation::PutsOutTwice => {
                let weights: Vec<i64> = (0..batch.row_count())
                    .map(|row| batch.weight(row) * if batch.weight(row) > 0 { 2 } else { 1 })
                    .collect();
                Ok(ChangeBatch::weighted(batch.rows().clone(), weights.into()))
            }
            Mutation::KeepsPadding => keep(&batch, |row| batch.weight(row) > 0 || !padded(row)),
            Mutation::LosesPadding if self.retracted => keep(&batch, |row| batch.weight(row) < 0 || !padded(row)),
            Mutation::NoRefill if only_retractions => keep(&batch, |row| batch.weight(row) < 0),
            Mutation::NeverBack => self.without_returned(&batch),
            Mutation::NullIsZero => with_columns(&batch, without_nulls),
            Mutation::RoundsFloats => with_columns(&batch, |column| match column.data_type() {
                DataType::Float64 => cast(&cast(column, &DataType::Float32)?, &DataType::Float64),
                _ => Ok(Arc::clone(column)),
            }),
            Mutation::NarrowsIntegers => with_columns(&batch, |column| match column.data_type() {
                DataType::Int64 => {
                    Ok(Arc::new(column.as_primitive::<Int64Type>().unary::<_, Int64Type>(|n| n & 0x7fff)))
                }
                _ => Ok(Arc::clone(column)),
            }),
            _ => Ok(batch),
        }
    }

    /// Leaves out insertions whose first column was retracted in an earlier epoch.
    fn without_returned(&mut self, batch: &ChangeBatch) -> Result<ChangeBatch, ArrowError> {
        let mut keys = Vec::with_capacity(batch.row_count());
        for row in 0..batch.row_count() {
            keys.push(batch.rows().columns().first().map_or(Ok(String::new()), |c| array_value_to_string(c, row))?);
        }
        for (row, key) in keys.iter().enumerate().filter(|(row, _)| batch.weight(*row) < 0) {
            let stays = (0..keys.len()).any(|other| other != row && keys[other] == *key && batch.weight(other) > 0);
            if !stays {
                self.going.insert(key.clone());
            }
        }
        keep(batch, |row| batch.weight(row) < 0 || !self.gone.contains(&keys[row]))
    }

    fn finish(&mut self, output: &mut Output) -> Result<(), ArrowError> {
        self.break_output(output)?;
        self.gone.append(&mut self.going);
        (self.changed, self.inserted, self.retracted) = ([false; 8], false, false);
        Ok(())
    }

    fn break_output(&mut self, output: &mut Output) -> Result<(), ArrowError> {
        for batch in std::mem::take(&mut output.changes) {
            let broken = self.put_out(batch)?;
            output.push(broken);
        }
        if self.mutation == Mutation::ErrorsStay {
            output.errors.retain(|(_, weight)| *weight > 0);
        }
        Ok(())
    }
}

impl Operator for Broken {
    fn apply(&mut self, input: usize, epoch: Epoch, batch: ChangeBatch, output: &mut Output) -> Result<(), ArrowError> {
        if batch.holds_partials() {
            return self.inner.apply(input, epoch, batch, output);
        }
        self.inserted |= (0..batch.row_count()).any(|row| batch.weight(row) > 0);
        self.retracted |= (0..batch.row_count()).any(|row| batch.weight(row) < 0);
        let seen = self.seen(input, epoch, batch)?.filter(|batch| !batch.is_empty());
        self.changed[input] = true;
        self.first.get_or_insert(epoch);
        if let Some(batch) = seen {
            self.inner.apply(input, epoch, batch, output)?;
        }
        self.break_output(output)
    }

    fn resume(&mut self, epoch: Epoch, output: &mut Output) -> Result<(), ArrowError> {
        self.inner.resume(epoch, output)?;
        self.break_output(output)
    }

    fn finish_epoch(&mut self, epoch: Epoch, wanted: bool, output: &mut Output) -> Result<(), ArrowError> {
        let skipped = self.mutation == Mutation::SkipsRetractingEpochs && self.retracted && !self.inserted;
        if !skipped {
            self.inner.finish_epoch(epoch, wanted, output)?;
        }
        self.finish(output)
    }

    fn finish_iteration(
        &mut self,
        epoch: Epoch,
        iteration: u64,
        output: &mut Output,
    ) -> Result<Option<u64>, ArrowError> {
        let next = self.inner.finish_iteration(epoch, iteration, output)?;
        self.finish(output)?;
        Ok(next)
    }
}

fn keep(batch: &ChangeBatch, keeps: impl Fn(usize) -> bool) -> Result<ChangeBatch, ArrowError> {
    batch.filter(&BooleanArray::from_iter((0..batch.row_count()).map(|row| Some(keeps(row)))))
}

fn with_columns(
    batch: &ChangeBatch,
    change: impl Fn(&ArrayRef) -> Result<ArrayRef, ArrowError>,
) -> Result<ChangeBatch, ArrowError> {
    let columns = batch.rows().columns().iter().map(change).collect::<Result<Vec<_>, _>>()?;
    let weights: Vec<i64> = (0..batch.row_count()).map(|row| batch.weight(row)).collect();
    Ok(ChangeBatch::weighted(RecordBatch::try_new(batch.schema(), columns)?, weights.into()))
}

/// The column with 0 in place of NULL, if it is a number's.
fn without_nulls(column: &ArrayRef) -> Result<ArrayRef, ArrowError> {
    if column.null_count() == 0 || !column.data_type().is_numeric() {
        return Ok(Arc::clone(column));
    }
    let zero = cast(&Int64Array::from(vec![0]), column.data_type())?;
    zip(&is_not_null(column)?, column, &Scalar::new(zero))
}
