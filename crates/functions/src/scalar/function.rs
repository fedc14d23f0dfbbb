//! A scalar function as plain data, and the one adapter that shows it to DataFusion.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::datatypes::{DataType, Field, FieldRef, TimeUnit};
use datafusion::common::{Result, ScalarValue, config::ConfigOptions, exec_err};
use datafusion::logical_expr::{
    ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};

use super::cast::{CastTarget, cast_column};
use crate::text_format::{Clock, TimeZone, type_name};
use crate::{NUMERIC, PgError};

/// A function of columns.
pub(super) struct Function {
    pub name: &'static str,
    pub aliases: &'static [&'static str],
    /// The types that arguments of these types are cast to; `None` if there is no such function.
    pub arguments: fn(&[DataType]) -> Option<Vec<DataType>>,
    /// The result's type for arguments of the cast types. (A few numeric results take their scale from a constant
    /// argument: `return_field_from_args`.)
    pub result: fn(&[DataType]) -> DataType,
    /// n values from columns of n values each, of the cast types.
    pub evaluate: fn(&[ArrayRef], &Call) -> Result<ArrayRef, PgError>,
}

/// What a function is told beside its arguments.
pub(super) struct Call {
    pub clock: Clock,
    /// How many rows there are, for functions without arguments.
    pub row_count: usize,
    pub result: DataType,
}

/// The function's registration with DataFusion.
pub(super) fn udf(function: &'static Function) -> Arc<ScalarUDF> {
    udf_with(function, Volatility::Immutable)
}

/// The registration of a function that is not a function of its arguments alone.
pub(super) fn udf_with(function: &'static Function, volatility: Volatility) -> Arc<ScalarUDF> {
    let aliases = function.aliases.iter().map(|alias| (*alias).to_owned()).collect();
    let signature = Signature::user_defined(volatility);
    Arc::new(ScalarUDF::new_from_impl(Registered { function, aliases, signature }))
}

struct Registered {
    function: &'static Function,
    aliases: Vec<String>,
    signature: Signature,
}

impl std::fmt::Debug for Registered {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.function.name)
    }
}

impl Registered {
    /// The types that the function evaluates.
    fn wanted(&self, types: &[DataType]) -> Option<Vec<DataType>> {
        (self.function.arguments)(types)
    }
}

impl PartialEq for Registered {
    fn eq(&self, other: &Registered) -> bool {
        self.function.name == other.function.name
    }
}

impl Eq for Registered {}

impl Hash for Registered {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.function.name.hash(state);
    }
}

impl ScalarUDFImpl for Registered {
    fn name(&self) -> &str {
        self.function.name
    }

    fn aliases(&self) -> &[String] {
        &self.aliases
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        let plain: Vec<DataType> = types.iter().map(plain_type).collect();
        let mut wanted = self.wanted(&plain).ok_or_else(|| no_function(self.function.name, &plain))?;
        // DataFusion could not cast them.
        for (wanted, found) in wanted.iter_mut().zip(plain) {
            if found == NUMERIC {
                *wanted = NUMERIC;
            }
        }
        Ok(wanted)
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        Ok((self.function.result)(&self.wanted(types).unwrap_or_else(|| types.to_vec())))
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        let types: Vec<DataType> = args.arg_fields.iter().map(|field| field.data_type().clone()).collect();
        let types = self.wanted(&types).unwrap_or(types);
        let by_constant = match self.function.name {
            "round" | "trunc" => super::math::result_by_places(&types, args.scalar_arguments),
            "extract" => super::datetime::result_by_unit(&types, args.scalar_arguments),
            _ => None,
        };
        let result = by_constant.unwrap_or_else(|| (self.function.result)(&types));
        Ok(Arc::new(Field::new(self.function.name, result, true)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let call = Call {
            clock: clock_of(&args.config_options),
            row_count: args.number_rows,
            result: args.return_field.data_type().clone(),
        };
        evaluate(args.args, call, |columns, call| {
            let types: Vec<DataType> = columns.iter().map(|column| column.data_type().clone()).collect();
            if !types.contains(&NUMERIC) {
                return (self.function.evaluate)(columns, call);
            }
            let wanted = self.wanted(&types).unwrap_or(types);
            let cast = |(column, wanted): (&ArrayRef, &DataType)| match *column.data_type() == NUMERIC {
                true => cast_column(column, &CastTarget::new(wanted.clone()), &call.clock),
                false => Ok(Arc::clone(column)),
            };
            let columns = columns.iter().zip(&wanted).map(cast).collect::<Result<Vec<_>, _>>()?;
            (self.function.evaluate)(&columns, call)
        })
    }
}

/// 42883: there is no such function or operator for these types.
pub(super) fn no_function(name: &str, types: &[DataType]) -> PgError {
    let types: Vec<&str> = types.iter().map(|t| if *t == DataType::Null { "unknown" } else { type_name(t) }).collect();
    PgError::new(b"42883", format!("function {name}({}) does not exist", types.join(", ")))
}

/// Runs a function over its arguments; over constants it runs once.
pub(super) fn evaluate(
    args: Vec<ColumnarValue>,
    mut call: Call,
    run: impl FnOnce(&[ArrayRef], &Call) -> Result<ArrayRef, PgError>,
) -> Result<ColumnarValue> {
    let constant = !args.is_empty() && args.iter().all(|arg| matches!(arg, ColumnarValue::Scalar(_)));
    if constant {
        call.row_count = 1;
    }
    let columns: Vec<ArrayRef> =
        args.into_iter().map(|arg| arg.into_array(call.row_count).map(plain)).collect::<Result<_>>()?;
    let values = run(&columns, &call)?;
    if values.len() != call.row_count {
        return exec_err!("a function of {} rows gave {} values", call.row_count, values.len());
    }
    if constant {
        return ScalarValue::try_from_array(&values, 0).map(ColumnarValue::Scalar);
    }
    Ok(ColumnarValue::Array(values))
}

/// The session's settings as DataFusion carries them. There is no clock: results must not depend on it.
pub(super) fn clock_of(config: &ConfigOptions) -> Clock {
    let name = config.execution.time_zone.as_deref();
    let time_zone = name.and_then(|name| TimeZone::parse(name).ok()).unwrap_or_default();
    Clock { time_zone, now: None }
}

/// The type among ours that stands for the same values.
pub(super) fn plain_type(data_type: &DataType) -> DataType {
    match data_type {
        DataType::Utf8View => DataType::Utf8,
        DataType::BinaryView => DataType::Binary,
        DataType::Dictionary(_, value) => plain_type(value),
        DataType::Timestamp(_, zone) => DataType::Timestamp(TimeUnit::Microsecond, zone.clone()),
        DataType::Date64 => DataType::Timestamp(TimeUnit::Microsecond, None),
        DataType::Time32(_) | DataType::Time64(_) => DataType::Time64(TimeUnit::Microsecond),
        DataType::Int8 | DataType::UInt8 => DataType::Int16,
        DataType::UInt16 => DataType::Int32,
        DataType::UInt64 => DataType::Decimal128(20, 0),
        DataType::Float16 => DataType::Float32,
        other => other.clone(),
    }
}

/// The column in the type that `plain_type` gives.
pub(super) fn plain(column: ArrayRef) -> ArrayRef {
    let wanted = plain_type(column.data_type());
    if wanted == *column.data_type() {
        return column;
    }
    // Widening never fails; a column that still cannot be read so is shown as NULLs by no one: it keeps its type.
    arrow::compute::cast(&column, &wanted).unwrap_or(column)
}
