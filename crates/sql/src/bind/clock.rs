//! `now()` and its relatives: one reading of the clock per transaction, put in when a query is run.

use std::sync::Arc;

use arrow::datatypes::{DataType, TimeUnit};
use datafusion::common::tree_node::Transformed;
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::{
    ColumnarValue, Expr, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};

use crate::SqlError;
use crate::bind::failure;

const MICROS_PER_DAY: i64 = 86_400_000_000;

/// What a function reads off the clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Reading {
    Timestamptz,
    Timestamp,
    Date,
    Time,
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Clock {
    name: &'static str,
    reading: Reading,
    signature: Signature,
}

/// All functions of the clock.
pub fn clock_functions() -> Vec<Arc<ScalarUDF>> {
    [
        ("now", Reading::Timestamptz),
        ("current_timestamp", Reading::Timestamptz),
        ("transaction_timestamp", Reading::Timestamptz),
        ("statement_timestamp", Reading::Timestamptz),
        ("clock_timestamp", Reading::Timestamptz),
        ("localtimestamp", Reading::Timestamp),
        ("current_date", Reading::Date),
        ("today", Reading::Date),
        ("current_time", Reading::Time),
        ("localtime", Reading::Time),
    ]
    .into_iter()
    .map(|(name, reading)| {
        let signature = Signature::nullary(Volatility::Stable);
        Arc::new(ScalarUDF::new_from_impl(Clock { name, reading, signature }))
    })
    .collect()
}

/// The expression with a call of a clock function replaced by its value: microseconds since 1970.
pub fn read_clock(expr: Expr, now_micros: i64) -> Transformed<Expr> {
    let Expr::ScalarFunction(call) = &expr else { return Transformed::no(expr) };
    let Some(clock) = call.func.inner().downcast_ref::<Clock>() else { return Transformed::no(expr) };
    let value = match clock.reading {
        Reading::Timestamptz => ScalarValue::TimestampMicrosecond(Some(now_micros), Some("UTC".into())),
        Reading::Timestamp => ScalarValue::TimestampMicrosecond(Some(now_micros), None),
        Reading::Date => {
            ScalarValue::Date32(Some(i32::try_from(now_micros.div_euclid(MICROS_PER_DAY)).unwrap_or_default()))
        }
        Reading::Time => ScalarValue::Time64Microsecond(Some(now_micros.rem_euclid(MICROS_PER_DAY))),
    };
    Transformed::yes(Expr::Literal(value, None))
}

impl ScalarUDFImpl for Clock {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arguments: &[DataType]) -> Result<DataType> {
        Ok(match self.reading {
            Reading::Timestamptz => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
            Reading::Timestamp => DataType::Timestamp(TimeUnit::Microsecond, None),
            Reading::Date => DataType::Date32,
            Reading::Time => DataType::Time64(TimeUnit::Microsecond),
        })
    }

    fn invoke_with_args(&self, _arguments: ScalarFunctionArgs) -> Result<ColumnarValue> {
        Err(failure(SqlError::internal(format!("{} was not read off the clock before the run", self.name))))
    }
}
