//! Aggregates over a list of values: from the list to the answer, nothing incremental.

use super::exact::{Decimal, sum_of_floats, variance};
use super::expression::{Expression, is_true};
use super::value::{Column, Type, Value};
use super::{Failure, OUT_OF_RANGE, Row};

/// An aggregate function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Function {
    /// count(*), or count(x) with an argument
    Count,
    /// sum
    Sum,
    /// avg
    Average,
    /// min
    Least,
    /// max
    Most,
    /// bool_and
    AllTrue,
    /// bool_or
    AnyTrue,
    /// stddev
    Deviation,
    /// stddev_pop
    PopulationDeviation,
    /// variance
    Variance,
    /// var_pop
    PopulationVariance,
}

/// An aggregate in a query.
#[derive(Clone, Debug)]
pub struct Call {
    /// The function.
    pub function: Function,
    /// Its argument; none for `count(*)`.
    pub argument: Option<Expression>,
    /// Whether equal values count once.
    pub distinct: bool,
    /// Only rows for which this is true count.
    pub filter: Option<Expression>,
}

impl Call {
    /// The type of its value over these columns.
    #[must_use]
    pub fn kind(&self, columns: &[Column]) -> Type {
        let argument = self.argument.as_ref().map(|a| a.kind(columns));
        match (self.function, argument) {
            (Function::Count, _) | (_, None) => Type::BigInt,
            (Function::Sum, Some(Type::SmallInt | Type::Integer)) => Type::BigInt,
            (Function::Sum, Some(Type::Double)) => Type::Double,
            (Function::Sum, _) => Type::Numeric,
            (Function::Average, Some(Type::Double)) => Type::Approximate,
            (Function::Average, _) => Type::Quotient,
            (Function::Least | Function::Most, Some(kind)) => kind,
            (Function::AllTrue | Function::AnyTrue, _) => Type::Boolean,
            _ => Type::Approximate,
        }
    }

    /// Its text.
    #[must_use]
    pub fn sql(&self, columns: &[Column]) -> String {
        let argument = self.argument.as_ref().map_or_else(|| "*".to_owned(), |a| a.sql(columns));
        let distinct = if self.distinct { "DISTINCT " } else { "" };
        let call = format!("{}({distinct}{argument})", self.function.sql());
        match &self.filter {
            Some(filter) => format!("{call} FILTER (WHERE {})", filter.sql(columns)),
            None => call,
        }
    }

    /// Its value over a group's rows.
    ///
    /// # Errors
    /// That of an argument, or a sum out of range.
    pub fn value(&self, rows: &[&Row], columns: &[Column]) -> Result<Value, Failure> {
        let mut values: Vec<Value> = Vec::new();
        for row in rows {
            if let Some(filter) = &self.filter
                && !is_true(&filter.value(row, columns)?)
            {
                continue;
            }
            let value = match &self.argument {
                Some(argument) => argument.value(row, columns)?,
                None => Value::Integer(1),
            };
            let repeated = self.distinct && values.iter().any(|v| v.same(&value));
            if !value.is_null() && !repeated {
                values.push(value);
            }
        }
        if self.function == Function::Count {
            return Ok(Value::Integer(values.len() as i64));
        }
        if values.is_empty() {
            return Ok(Value::Null);
        }
        self.function.over(&values, self.kind(columns))
    }
}

impl Function {
    fn sql(self) -> &'static str {
        match self {
            Function::Count => "count",
            Function::Sum => "sum",
            Function::Average => "avg",
            Function::Least => "min",
            Function::Most => "max",
            Function::AllTrue => "bool_and",
            Function::AnyTrue => "bool_or",
            Function::Deviation => "stddev",
            Function::PopulationDeviation => "stddev_pop",
            Function::Variance => "variance",
            Function::PopulationVariance => "var_pop",
        }
    }

    /// The value over at least one value, none of them NULL.
    fn over(self, values: &[Value], kind: Type) -> Result<Value, Failure> {
        let is_float = matches!(values[0], Value::Float(_));
        Ok(match self {
            Function::Count => Value::Integer(values.len() as i64),
            Function::Least => values.iter().min_by(|a, b| a.order(b)).cloned().unwrap_or(Value::Null),
            Function::Most => values.iter().max_by(|a, b| a.order(b)).cloned().unwrap_or(Value::Null),
            Function::AllTrue => Value::Boolean(values.iter().all(is_true)),
            Function::AnyTrue => Value::Boolean(values.iter().any(is_true)),
            Function::Sum if is_float => Value::Float(sum_of_floats(&floats(values))),
            Function::Average if is_float => Value::Float(sum_of_floats(&floats(values)) / values.len() as f64),
            Function::Sum => {
                let sum = total(values);
                if kind == Type::BigInt {
                    Value::Integer(sum.to_string().parse().map_err(|_| OUT_OF_RANGE)?)
                } else {
                    Value::Numeric(sum)
                }
            }
            Function::Average => Value::Quotient(total(values), values.len() as u64),
            Function::Variance => of_variance(values, false, |v| v),
            Function::PopulationVariance => of_variance(values, true, |v| v),
            Function::Deviation => of_variance(values, false, f64::sqrt),
            Function::PopulationDeviation => of_variance(values, true, f64::sqrt),
        })
    }
}

fn floats(values: &[Value]) -> Vec<f64> {
    values.iter().map(Value::float).collect()
}

fn total(values: &[Value]) -> Decimal {
    values.iter().fold(Decimal::from_integer(0), |sum, v| sum.add(&v.decimal()))
}

fn of_variance(values: &[Value], population: bool, f: fn(f64) -> f64) -> Value {
    let divides = !population && values.len() < 2;
    if !divides && values.iter().any(|v| matches!(v, Value::Float(f) if !f.is_finite())) {
        return Value::Float(f64::NAN);
    }
    let exact = |v: &Value| match v {
        Value::Float(f) if f.is_finite() => Decimal::from_float(*f),
        // Of one value there is no sample variance, whatever it is.
        Value::Float(_) => Decimal::from_integer(0),
        other => other.decimal(),
    };
    let exact: Vec<Decimal> = values.iter().map(exact).collect();
    variance(&exact, population).map_or(Value::Null, |v| Value::Float(f(v)))
}
