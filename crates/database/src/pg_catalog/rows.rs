//! Gathers the rows of a catalog.

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;

use super::Value;
use super::value::to_array;
use crate::DatabaseError;

/// Rows of a catalog, by column.
#[derive(Debug)]
pub struct Rows {
    schema: SchemaRef,
    columns: Vec<Vec<Value>>,
}

impl Rows {
    /// No rows of these columns.
    pub fn new(schema: SchemaRef) -> Rows {
        let columns = vec![Vec::new(); schema.fields().len()];
        Rows { schema, columns }
    }

    /// Adds a row. Columns that are not named are NULL or, where that cannot be, false, 0 or empty.
    pub fn add<const N: usize>(&mut self, values: [(&str, Value); N]) {
        let before = self.columns.first().map_or(0, Vec::len);
        for (name, value) in values {
            match self.schema.index_of(name) {
                Ok(place) => self.columns[place].push(value),
                Err(_) => debug_assert!(false, "no column {name}"),
            }
        }
        for (column, field) in self.columns.iter_mut().zip(self.schema.fields()) {
            if column.len() == before {
                let missing = if field.is_nullable() { Value::Null } else { Value::zero(field.data_type()) };
                column.push(missing);
            }
        }
    }

    /// All rows as a batch.
    ///
    /// # Errors
    /// If a value is of another sort than its column, which is a bug.
    pub fn finish(self) -> Result<RecordBatch, DatabaseError> {
        let fields = self.schema.fields().iter();
        let arrays = fields.zip(&self.columns).map(|(field, values)| to_array(field.data_type(), values));
        let arrays = arrays.collect::<Result<Vec<_>, _>>()?;
        Ok(RecordBatch::try_new(self.schema, arrays)?)
    }
}
