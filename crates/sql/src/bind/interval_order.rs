//! Intervals in PostgreSQL's order: a month is 30 days, a day 24 hours.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Decimal128Array};
use arrow::datatypes::{DataType, IntervalMonthDayNanoType};
use datafusion::common::Result;
use datafusion::logical_expr::{
    ColumnarValue, Expr, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};

const NANOS_PER_DAY: i128 = 86_400_000_000_000;
const DAYS_PER_MONTH: i128 = 30;

#[derive(Debug, PartialEq, Eq, Hash)]
struct IntervalOrder {
    signature: Signature,
}

/// A number for each interval, by which intervals compare.
pub fn interval_order(interval: Expr) -> Expr {
    let function = IntervalOrder { signature: Signature::any(1, Volatility::Immutable) };
    Arc::new(ScalarUDF::new_from_impl(function)).call(vec![interval])
}

impl ScalarUDFImpl for IntervalOrder {
    fn name(&self) -> &'static str {
        "interval_order"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arguments: &[DataType]) -> Result<DataType> {
        Ok(DataType::Decimal128(38, 0))
    }

    fn invoke_with_args(&self, arguments: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let intervals = arguments.args[0].to_array(arguments.number_rows)?;
        let intervals = intervals.as_primitive::<IntervalMonthDayNanoType>();
        let order: Decimal128Array = intervals
            .iter()
            .map(|value| {
                value.map(|v| {
                    let days = i128::from(v.months) * DAYS_PER_MONTH + i128::from(v.days);
                    days * NANOS_PER_DAY + i128::from(v.nanoseconds)
                })
            })
            .collect();
        let order: ArrayRef = Arc::new(order.with_precision_and_scale(38, 0)?);
        Ok(ColumnarValue::Array(order))
    }
}
