//! Window functions that number rows, with PostgreSQL's types: DataFusion's have unsigned numbers.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::function::{PartitionEvaluatorArgs, WindowUDFFieldArgs};
use datafusion::logical_expr::{PartitionEvaluator, Signature, WindowUDF, WindowUDFImpl};

/// The function with PostgreSQL's type of result.
pub fn typed(function: Arc<WindowUDF>) -> Arc<WindowUDF> {
    let result = match function.name() {
        "row_number" | "rank" | "dense_rank" => DataType::Int64,
        "ntile" => DataType::Int32,
        _ => return function,
    };
    Arc::new(WindowUDF::new_from_impl(Typed { function, result }))
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Typed {
    function: Arc<WindowUDF>,
    result: DataType,
}

impl WindowUDFImpl for Typed {
    fn name(&self) -> &str {
        self.function.name()
    }

    fn signature(&self) -> &Signature {
        self.function.signature()
    }

    fn partition_evaluator(&self, arguments: PartitionEvaluatorArgs) -> Result<Box<dyn PartitionEvaluator>> {
        let evaluator = self.function.partition_evaluator_factory(arguments)?;
        Ok(Box::new(TypedEvaluator { evaluator, result: self.result.clone() }))
    }

    fn field(&self, arguments: WindowUDFFieldArgs) -> Result<FieldRef> {
        Ok(Arc::new(Field::new(arguments.name(), self.result.clone(), true)))
    }
}

#[derive(Debug)]
struct TypedEvaluator {
    evaluator: Box<dyn PartitionEvaluator>,
    result: DataType,
}

impl PartitionEvaluator for TypedEvaluator {
    fn get_range(&self, row: usize, row_count: usize) -> Result<Range<usize>> {
        self.evaluator.get_range(row, row_count)
    }

    fn is_causal(&self) -> bool {
        self.evaluator.is_causal()
    }

    fn evaluate_all(&mut self, values: &[ArrayRef], row_count: usize) -> Result<ArrayRef> {
        Ok(cast(&self.evaluator.evaluate_all(values, row_count)?, &self.result)?)
    }

    fn evaluate(&mut self, values: &[ArrayRef], range: &Range<usize>) -> Result<ScalarValue> {
        self.evaluator.evaluate(values, range)?.cast_to(&self.result)
    }

    fn evaluate_all_with_rank(&self, row_count: usize, peers: &[Range<usize>]) -> Result<ArrayRef> {
        Ok(cast(&self.evaluator.evaluate_all_with_rank(row_count, peers)?, &self.result)?)
    }

    fn supports_bounded_execution(&self) -> bool {
        self.evaluator.supports_bounded_execution()
    }

    fn uses_window_frame(&self) -> bool {
        self.evaluator.uses_window_frame()
    }

    fn include_rank(&self) -> bool {
        self.evaluator.include_rank()
    }
}
