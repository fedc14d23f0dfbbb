//! What several views compute of the same batch, so that it is computed once.
//!
//! 1. A batch that goes to more than one view carries a `SharedWork`, and so does what is made of it: selections of its
//!    rows, projections, the parts that an exchange makes.
//! 2. Whoever computes something of columns asks it first. What was computed before is found by what it is and by the
//!    identity (the address) of the columns; they are held, so no other column can come to have their address.
//! 3. Results of the first view are columns that the second one finds, so equal plans find each other's work step by step,
//!    and part where they differ. It lives until the last view has let go of the batch.

use std::any::Any;
use std::fmt::Debug;
use std::hash::BuildHasherDefault;
use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, RecordBatchOptions};
use arrow::buffer::ScalarBuffer;
use arrow::compute::{FilterBuilder, FilterPredicate, take};
use arrow::error::ArrowError;
use hashbrown::HashMap;
use xxhash_rust::xxh3::Xxh3;

use crate::{ChangeBatch, canonical_key, hash_columns};

/// What an expression computes, whatever the places and names of its columns: equal shapes over equal columns have
/// equal values.
pub trait Shape: Any + Debug + Send + Sync {
    /// Whether it computes the same as another.
    fn is_equal(&self, other: &dyn Shape) -> bool;

    /// Equal for equal shapes.
    fn fingerprint(&self) -> u64;
}

/// What was computed of some columns.
#[derive(Clone, Debug)]
pub enum Work {
    /// The values of an expression.
    Expression(Arc<dyn Shape>),
    /// How rows are selected by a boolean column.
    Selection,
    /// The rows of the first column for which the second is true.
    Selected,
    /// These weights of the rows for which the column is true.
    SelectedWeights(ScalarBuffer<i64>),
    /// The canonical form of a key column.
    Canonical,
    /// The hashes of key columns.
    KeyHashes,
    /// Something else that follows from the columns and this name.
    Named(&'static str, u64),
}

impl Work {
    fn fingerprint(&self) -> u64 {
        match self {
            Work::Expression(shape) => shape.fingerprint(),
            Work::Selection => 1,
            Work::Selected => 2,
            Work::SelectedWeights(weights) => 3 ^ (weights.inner().as_ptr() as u64),
            Work::Canonical => 4,
            Work::KeyHashes => 5,
            Work::Named(name, number) => name.as_ptr() as u64 ^ number.rotate_left(40),
        }
    }

    fn is_equal(&self, other: &Work) -> bool {
        match (self, other) {
            (Work::Expression(left), Work::Expression(right)) => left.is_equal(right.as_ref()),
            (Work::SelectedWeights(left), Work::SelectedWeights(right)) => {
                left.inner().as_ptr() == right.inner().as_ptr() && left.len() == right.len()
            }
            (Work::Named(left, m), Work::Named(right, n)) => left == right && m == n,
            _ => std::mem::discriminant(self) == std::mem::discriminant(other),
        }
    }
}

struct Entry {
    work: Work,
    columns: Vec<ArrayRef>,
    result: Arc<dyn Any + Send + Sync>,
}

/// Everything that has been computed of a batch and of what was made of it.
#[derive(Default)]
pub struct SharedWork {
    entries: Mutex<HashMap<u64, Vec<Entry>, BuildHasherDefault<Xxh3>>>,
}

impl Debug for SharedWork {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SharedWork")
    }
}

impl SharedWork {
    /// What this work gives for these columns: as computed before, or by `compute` now.
    ///
    /// Each work has results of one type.
    ///
    /// # Errors
    /// Those of `compute`; then nothing is kept.
    pub fn get<T: Any + Send + Sync, E>(
        &self,
        work: Work,
        columns: &[&ArrayRef],
        compute: impl FnOnce() -> Result<T, E>,
    ) -> Result<Arc<T>, E> {
        let address = |column: &ArrayRef| Arc::as_ptr(column).cast::<()>() as u64;
        let place = columns.iter().fold(work.fingerprint(), |hash, c| hash.rotate_left(23) ^ address(c));
        let is_it = |entry: &Entry| {
            entry.columns.len() == columns.len()
                && entry.columns.iter().zip(columns).all(|(held, asked)| Arc::ptr_eq(held, asked))
                && entry.work.is_equal(&work)
        };
        let found = |entries: &[Entry]| {
            let entry = entries.iter().find(|entry| is_it(entry))?;
            Arc::clone(&entry.result).downcast::<T>().ok()
        };
        // A panic while it was locked left it as it was: nothing is changed in more than one step.
        let locked = || self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(result) = locked().get(&place).and_then(|entries| found(entries)) {
            return Ok(result);
        }
        // Not locked meanwhile: another worker may have a part of the same batch.
        let result = Arc::new(compute()?);
        let mut entries = locked();
        let there = entries.entry(place).or_default();
        if let Some(earlier) = found(there) {
            return Ok(earlier);
        }
        let columns = columns.iter().map(|column| Arc::clone(column)).collect();
        there.push(Entry { work, columns, result: Arc::clone(&result) as Arc<dyn Any + Send + Sync> });
        Ok(result)
    }
}

impl ChangeBatch {
    /// The rows for which a boolean column is true (NULL counts as false), shared with others that select by the same
    /// column.
    ///
    /// # Errors
    /// Whatever Arrow's `filter` reports.
    ///
    /// # Panics
    /// If the column is not boolean or has not a value per row.
    pub fn select(&self, keep: &ArrayRef) -> Result<ChangeBatch, ArrowError> {
        let Some(shared) = self.shared_work() else { return self.filter(keep.as_boolean()) };
        let build = || Ok::<_, ArrowError>(FilterBuilder::new(keep.as_boolean()).optimize().build());
        let predicate: Arc<FilterPredicate> = shared.get(Work::Selection, &[keep], build)?;
        let mut columns = Vec::with_capacity(self.rows().num_columns());
        for column in self.rows().columns() {
            let selected = shared.get(Work::Selected, &[column, keep], || predicate.filter(column))?;
            columns.push(ArrayRef::clone(&selected));
        }
        let options = RecordBatchOptions::new().with_row_count(Some(predicate.count()));
        let rows = RecordBatch::try_new_with_options(self.schema(), columns, &options)?;
        let batch = match self.weight_buffer() {
            None => ChangeBatch::insertions(rows),
            Some(weights) => {
                let work = Work::SelectedWeights(weights);
                let select = || Ok::<_, ArrowError>(self.filter(keep.as_boolean())?.weight_buffer());
                let selected = shared.get(work, &[keep], select)?;
                match selected.as_ref() {
                    Some(weights) => ChangeBatch::weighted(rows, weights.clone()),
                    None => ChangeBatch::insertions(rows),
                }
            }
        };
        Ok(batch.sharing(Some(shared)))
    }

    /// Columns in the canonical form of keys.
    #[must_use]
    pub fn key_columns(&self, columns: &[usize]) -> Vec<ArrayRef> {
        let column = |place: &usize| {
            let column = self.rows().column(*place);
            let Some(shared) = self.shared_work() else { return canonical_key(column) };
            let compute = || Ok::<_, ArrowError>(canonical_key(column));
            match shared.get(Work::Canonical, &[column], compute) {
                Ok(canonical) => ArrayRef::clone(&canonical),
                Err(_) => canonical_key(column),
            }
        };
        columns.iter().map(column).collect()
    }

    /// The hashes of key columns, which are this batch's or made of them.
    #[must_use]
    pub fn hashes_of(&self, keys: &[ArrayRef]) -> ScalarBuffer<u64> {
        let compute = || {
            let mut hashes = Vec::new();
            hash_columns(keys, self.row_count(), &mut hashes);
            Ok::<ScalarBuffer<u64>, ArrowError>(hashes.into())
        };
        let shared = self.shared_work().filter(|_| !keys.is_empty());
        let hashes = match shared {
            Some(shared) => {
                let columns: Vec<&ArrayRef> = keys.iter().collect();
                shared.get(Work::KeyHashes, &columns, compute).map(|hashes| ScalarBuffer::clone(&hashes))
            }
            None => compute(),
        };
        hashes.unwrap_or_else(|error| unreachable!("hashing does not fail: {error}"))
    }

    /// The rows at these positions (unsigned 32-bit numbers), shared with others that take them by the same column.
    ///
    /// # Errors
    /// Whatever Arrow's `take` reports, such as offsets past 2 GiB of text.
    ///
    /// # Panics
    /// If the positions are of another type.
    pub fn take_at(&self, positions: &ArrayRef) -> Result<ChangeBatch, ArrowError> {
        let Some(shared) = self.shared_work() else { return self.take(positions.as_primitive()) };
        let mut columns = Vec::with_capacity(self.rows().num_columns());
        for column in self.rows().columns() {
            let compute = || take(column, positions, None);
            columns.push(ArrayRef::clone(&*shared.get(Work::Named("taken", 0), &[column, positions], compute)?));
        }
        let options = RecordBatchOptions::new().with_row_count(Some(positions.len()));
        let rows = RecordBatch::try_new_with_options(self.schema(), columns, &options)?;
        Ok(self.taken(rows, positions.as_primitive()).sharing(Some(shared)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{BooleanArray, Int64Array, StringArray, UInt32Array};
    use arrow::datatypes::{DataType, Field, Schema};

    fn batch() -> ChangeBatch {
        let fields = vec![Field::new("a", DataType::Int64, true), Field::new("b", DataType::Utf8, false)];
        let columns: Vec<ArrayRef> = vec![
            Arc::new(Int64Array::from(vec![Some(1), None, Some(3)])),
            Arc::new(StringArray::from(vec!["x", "y", "z"])),
        ];
        let rows = RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).expect("two columns");
        ChangeBatch::weighted(rows, vec![1, -2, 3].into())
    }

    fn same_columns(left: &ChangeBatch, right: &ChangeBatch) -> bool {
        left.rows().columns().iter().zip(right.rows().columns()).all(|(l, r)| Arc::ptr_eq(l, r))
    }

    #[test]
    fn the_second_view_finds_what_the_first_selected() {
        let shared = batch().share();
        let keep: ArrayRef = Arc::new(BooleanArray::from(vec![Some(true), None, Some(true)]));
        let first = shared.clone().select(&keep).expect("selects");
        let second = shared.select(&keep).expect("selects");
        assert!(same_columns(&first, &second));
        let alone = batch().select(&keep).expect("selects");
        assert_eq!((first.rows(), first.weights()), (alone.rows(), alone.weights()));
        // Another column of the same values is another selection, with the same result.
        let equal: ArrayRef = Arc::new(BooleanArray::from(vec![Some(true), None, Some(true)]));
        let other = shared.select(&equal).expect("selects");
        assert!(!same_columns(&first, &other));
        assert_eq!((first.rows(), first.weights()), (other.rows(), other.weights()));
    }

    #[test]
    fn a_view_of_other_columns_finds_those_that_both_have() {
        let shared = batch().share();
        let narrow = shared.with_rows(shared.rows().project(&[1]).expect("projects"));
        let keep: ArrayRef = Arc::new(BooleanArray::from(vec![false, true, true]));
        let (wide, narrow) = (shared.select(&keep).expect("selects"), narrow.select(&keep).expect("selects"));
        assert!(Arc::ptr_eq(wide.rows().column(1), narrow.rows().column(0)));
        assert_eq!(wide.weights(), Some([-2, 3].as_slice()));
        assert_eq!(narrow.weights(), wide.weights());
    }

    #[test]
    fn rows_are_taken_with_their_weights_and_hashes() {
        let positions: ArrayRef = Arc::new(UInt32Array::from(vec![2, 0]));
        let hashed = batch().with_key_hashes(vec![7, 8, 9].into());
        let (alone, shared) = (hashed.clone(), hashed.share());
        let taken = shared.take_at(&positions).expect("takes");
        let expected = alone.take_at(&positions).expect("takes");
        assert_eq!((taken.rows(), taken.weights()), (expected.rows(), expected.weights()));
        assert_eq!(taken.key_hashes(), Some([9, 7].as_slice()));
        assert!(same_columns(&taken, &shared.take_at(&positions).expect("takes")));
    }

    #[test]
    fn keys_are_hashed_once_and_as_ever() {
        let shared = batch().share();
        let keys = shared.key_columns(&[0, 1]);
        let mut expected = Vec::new();
        hash_columns(&keys, 3, &mut expected);
        let (first, second) = (shared.hashes_of(&keys), shared.hashes_of(&shared.key_columns(&[0, 1])));
        assert_eq!(&first[..], &expected);
        assert!(first.ptr_eq(&second));
        assert_eq!(&shared.hashes_of(&[])[..], [0, 0, 0]);
    }

    #[derive(Debug)]
    struct Number(u64);

    impl Shape for Number {
        fn is_equal(&self, other: &dyn Shape) -> bool {
            let other: &dyn Any = other;
            other.downcast_ref::<Number>().is_some_and(|other| other.0 == self.0)
        }

        fn fingerprint(&self) -> u64 {
            // All in one place.
            1
        }
    }

    #[test]
    fn equal_fingerprints_are_told_apart() {
        let shared = SharedWork::default();
        let column = Arc::clone(batch().rows().column(0));
        let get = |number: u64, value: u64| {
            let work = Work::Expression(Arc::new(Number(number)));
            *shared.get(work, &[&column], || Ok::<_, ()>(value)).expect("computes")
        };
        assert_eq!((get(1, 10), get(2, 20), get(1, 30), get(2, 40)), (10, 20, 10, 20));
    }
}
