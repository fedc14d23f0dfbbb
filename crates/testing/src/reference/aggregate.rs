//! Aggregates over a list of values: from the list to the answer, nothing incremental.

use super::exact::{Decimal, sum_of_floats, variance};
use super::expression::{Expression, Scope, is_true};
use super::order::Order;
use super::query::Context;
use super::statistics::of_pairs;
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
    /// bit_and
    BitAnd,
    /// bit_or
    BitOr,
    /// bit_xor
    BitXor,
    /// string_agg with a comma
    Joined,
    /// array_agg
    Array,
    /// percentile_cont of so many hundredths
    Percentile(u8),
    /// percentile_disc of so many hundredths
    DiscretePercentile(u8),
    /// mode
    Mode,
    /// covar_pop
    PopulationCovariance,
    /// covar_samp
    Covariance,
    /// corr
    Correlation,
    /// regr_count
    RegressionCount,
    /// regr_slope
    Slope,
    /// regr_intercept
    Intercept,
    /// regr_r2
    Determination,
}

/// An aggregate in a query.
#[derive(Clone, Debug)]
pub struct Call {
    /// The function.
    pub function: Function,
    /// Its argument; none for `count(*)`.
    pub argument: Option<Expression>,
    /// The second argument of those that have one.
    pub second: Option<Expression>,
    /// ORDER BY within the call: expressions, `true` for DESC. The last one is the argument.
    pub order: Vec<(Expression, bool)>,
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
            (
                Function::Least
                | Function::Most
                | Function::BitAnd
                | Function::BitOr
                | Function::BitXor
                | Function::Mode
                | Function::DiscretePercentile(_),
                Some(kind),
            ) => kind,
            (Function::AllTrue | Function::AnyTrue, _) => Type::Boolean,
            (Function::Joined, _) => Type::Text,
            (Function::Array, _) => Type::Array,
            (Function::RegressionCount, _) => Type::BigInt,
            _ => Type::Approximate,
        }
    }

    /// Its text.
    #[must_use]
    pub fn sql(&self, columns: &[Column]) -> String {
        let argument = self.argument.as_ref().map_or_else(|| "*".to_owned(), |a| a.sql(columns));
        let distinct = if self.distinct { "DISTINCT " } else { "" };
        let name = self.function.sql();
        let second = self.second.as_ref().map_or_else(String::new, |s| format!(", {}", s.sql(columns)));
        let list = self.order.iter().map(|(e, down)| format!("{}{}", e.sql(columns), if *down { " DESC" } else { "" }));
        let list: Vec<String> = list.collect();
        let order = if list.is_empty() { String::new() } else { format!(" ORDER BY {}", list.join(", ")) };
        let call = match self.function {
            Function::Percentile(n) | Function::DiscretePercentile(n) => {
                format!("{name}({}) WITHIN GROUP (ORDER BY {argument})", f64::from(n) / 100.0)
            }
            Function::Mode => format!("mode() WITHIN GROUP (ORDER BY {argument})"),
            Function::Joined => format!("string_agg({distinct}{argument}, ','{order})"),
            _ => format!("{name}({distinct}{argument}{second}{order})"),
        };
        match &self.filter {
            Some(filter) => format!("{call} FILTER (WHERE {})", filter.sql(columns)),
            None => call,
        }
    }

    /// Its value over a group's rows.
    ///
    /// # Errors
    /// That of an argument, or a sum out of range.
    pub fn value(&self, rows: &[&Row], columns: &[Column], context: &Context<'_>) -> Result<Value, Failure> {
        let mut scopes = Vec::new();
        for row in rows {
            let scope = Scope { row, columns, context: *context };
            let passes = match &self.filter {
                Some(filter) => is_true(&filter.value(&scope)?),
                None => true,
            };
            if passes {
                scopes.push(scope);
            }
        }
        if let (Some(y), Some(x)) = (&self.argument, &self.second) {
            let mut pairs = Vec::new();
            for scope in &scopes {
                let pair = (y.value(scope)?, x.value(scope)?);
                if !pair.0.is_null() && !pair.1.is_null() {
                    pairs.push(pair);
                }
            }
            return Ok(of_pairs(self.function, &pairs));
        }
        let mut values: Vec<Value> = Vec::new();
        for value in self.arguments(&scopes)? {
            let repeated = self.distinct && values.iter().any(|v| v.same(&value));
            if !repeated && (!value.is_null() || self.function == Function::Array) {
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

    /// The arguments of all rows, in the call's order.
    fn arguments(&self, scopes: &[Scope<'_>]) -> Result<Vec<Value>, Failure> {
        let Some(argument) = &self.argument else { return Ok(vec![Value::Integer(1); scopes.len()]) };
        let mut keyed: Vec<(Row, Value)> = Vec::new();
        for scope in scopes {
            let key = self.order.iter().map(|(e, _)| e.value(scope)).collect::<Result<_, _>>()?;
            keyed.push((key, argument.value(scope)?));
        }
        let orders = self.order.iter().enumerate();
        let orders: Vec<Order> =
            orders.map(|(column, (_, down))| Order { column, descending: *down, nulls_first: *down }).collect();
        keyed.sort_by(|a, b| super::order::compare_rows(&orders, &a.0, &b.0));
        Ok(keyed.into_iter().map(|(_, value)| value).collect())
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
            Function::BitAnd => "bit_and",
            Function::BitOr => "bit_or",
            Function::BitXor => "bit_xor",
            Function::Joined => "string_agg",
            Function::Array => "array_agg",
            Function::Percentile(_) => "percentile_cont",
            Function::DiscretePercentile(_) => "percentile_disc",
            Function::Mode => "mode",
            Function::PopulationCovariance => "covar_pop",
            Function::Covariance => "covar_samp",
            Function::Correlation => "corr",
            Function::RegressionCount => "regr_count",
            Function::Slope => "regr_slope",
            Function::Intercept => "regr_intercept",
            Function::Determination => "regr_r2",
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
            Function::BitAnd => of_bits(values, |a, b| a & b),
            Function::BitOr => of_bits(values, |a, b| a | b),
            Function::BitXor => of_bits(values, |a, b| a ^ b),
            Function::Joined => Value::Text(values.iter().map(text).collect::<Vec<_>>().join(",")),
            Function::Array => Value::Text(format!("{{{}}}", values.iter().map(element).collect::<Vec<_>>().join(","))),
            Function::Percentile(hundredths) => percentile(&sorted(values), hundredths),
            Function::DiscretePercentile(hundredths) => {
                let place = (usize::from(hundredths) * values.len()).div_ceil(100).max(1) - 1;
                sorted(values)[place].clone()
            }
            Function::Mode => {
                let times = |value: &Value| values.iter().filter(|v| v.same(value)).count();
                // Of values that are there equally often it is the least.
                let least_first = sorted(values);
                let most = least_first.iter().map(times).max();
                least_first.into_iter().find(|v| Some(times(v)) == most).unwrap_or(Value::Null)
            }
            _ => panic!("{self:?} takes pairs"),
        })
    }
}

fn sorted(values: &[Value]) -> Vec<Value> {
    let mut values = values.to_vec();
    values.sort_by(Value::order);
    values
}

/// Between the two values around the place, in proportion.
fn percentile(sorted: &[Value], hundredths: u8) -> Value {
    let hundredths = usize::from(hundredths) * (sorted.len() - 1);
    let (place, rest) = (hundredths / 100, hundredths % 100);
    let low = sorted[place].float();
    if rest == 0 {
        return Value::Float(low);
    }
    let high = sorted[place + 1].float();
    Value::Float(low + (high - low) * (rest as f64 / 100.0))
}

fn of_bits(values: &[Value], operation: fn(i64, i64) -> i64) -> Value {
    let bits = |value: &Value| if let Value::Integer(n) = value { *n } else { panic!("{value:?} has no bits") };
    values.iter().map(bits).reduce(operation).map_or(Value::Null, Value::Integer)
}

fn text(value: &Value) -> String {
    value.canonical(Type::Text).unwrap_or_default()
}

/// An element as an array's text has it.
fn element(value: &Value) -> String {
    let special = |c: char| c.is_whitespace() || matches!(c, '"' | '\\' | '{' | '}' | ',');
    match value {
        Value::Null => "NULL".into(),
        Value::Text(t) if t.is_empty() || t.contains(special) || t.eq_ignore_ascii_case("null") => {
            format!("\"{}\"", t.replace('\\', "\\\\").replace('"', "\\\""))
        }
        other => text(other),
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
