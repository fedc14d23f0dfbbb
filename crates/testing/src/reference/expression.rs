//! Scalar expressions: their SQL, and their value for a row.

use std::cmp::Ordering;

use super::query::{Context, Query};
use super::value::{Column, Type, Value};
use super::{DIVISION_BY_ZERO, Failure, MORE_THAN_ONE_ROW, OUT_OF_RANGE};

/// What an expression sees: a row, and around it what a subquery may look at.
#[derive(Clone, Copy)]
pub struct Scope<'a> {
    /// The row.
    pub row: &'a [Value],
    /// Its columns.
    pub columns: &'a [Column],
    /// Relations, and the row outside of a subquery.
    pub context: Context<'a>,
}

/// A query within an expression.
#[derive(Clone, Debug)]
pub struct Nested {
    /// The query.
    pub query: Query,
    /// Its text.
    pub text: String,
}

/// An arithmetic operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// a + b
    Add,
    /// a − b
    Subtract,
    /// a × b
    Multiply,
    /// a / b, for whole numbers towards zero
    Divide,
    /// What is left of a / b; whole numbers only
    Modulo,
}

/// A comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comparison {
    /// a = b
    Equal,
    /// a <> b
    NotEqual,
    /// a < b
    Less,
    /// a <= b
    LessOrEqual,
    /// a > b
    Greater,
    /// a >= b
    GreaterOrEqual,
}

/// A scalar expression over a row.
#[derive(Clone, Debug)]
pub enum Expression {
    /// A column, by place.
    Column(usize),
    /// A literal.
    Literal(Value, Type),
    /// Arithmetic.
    Arithmetic(Operation, Box<Expression>, Box<Expression>),
    /// −a
    Negate(Box<Expression>),
    /// A comparison, unknown when a side is NULL.
    Compare(Comparison, Box<Expression>, Box<Expression>),
    /// a IS NOT DISTINCT FROM b
    Same(Box<Expression>, Box<Expression>),
    /// a AND b
    And(Box<Expression>, Box<Expression>),
    /// a OR b
    Or(Box<Expression>, Box<Expression>),
    /// NOT a
    Not(Box<Expression>),
    /// a IS NULL
    IsNull(Box<Expression>),
    /// a IN (…)
    In(Box<Expression>, Vec<Expression>),
    /// CASE WHEN a THEN b ELSE c END
    Case(Box<Expression>, Box<Expression>, Box<Expression>),
    /// coalesce(a, b)
    Coalesce(Box<Expression>, Box<Expression>),
    /// nullif(a, b)
    NullIf(Box<Expression>, Box<Expression>),
    /// upper(a)
    Upper(Box<Expression>),
    /// length(a)
    Length(Box<Expression>),
    /// a || b
    Concat(Box<Expression>, Box<Expression>),
    /// A column of the query around this one: its place, type and text.
    Outer(usize, Type, String),
    /// a IN (query), or with `true` NOT IN
    InQuery(Box<Expression>, bool, Box<Nested>),
    /// a = ANY (query), a > ALL (query), …; `true` for ALL
    Quantified(Comparison, bool, Box<Expression>, Box<Nested>),
    /// EXISTS (query), or with `true` NOT EXISTS
    Exists(bool, Box<Nested>),
    /// (query): the one value of its one row
    Scalar(Box<Nested>, Type),
}

use Expression as E;

impl Expression {
    /// Its type over these columns.
    #[must_use]
    pub fn kind(&self, columns: &[Column]) -> Type {
        match self {
            E::Column(i) => columns[*i].kind,
            E::Literal(_, kind) => *kind,
            E::Arithmetic(_, a, b) => wider(a.kind(columns), b.kind(columns)),
            E::Negate(a) | E::Coalesce(a, _) | E::NullIf(a, _) | E::Case(_, a, _) => a.kind(columns),
            E::Outer(_, kind, _) | E::Scalar(_, kind) => *kind,
            E::Upper(_) | E::Concat(..) => Type::Text,
            E::Length(_) => Type::Integer,
            _ => Type::Boolean,
        }
    }

    /// Its text.
    #[must_use]
    pub fn sql(&self, columns: &[Column]) -> String {
        let s = |e: &Expression| e.sql(columns);
        match self {
            E::Column(i) => columns[*i].name.clone(),
            E::Literal(value, kind) => value.sql(*kind),
            E::Arithmetic(operation, a, b) => format!("({} {} {})", s(a), operation.sql(), s(b)),
            E::Negate(a) => format!("(- {})", s(a)),
            E::Compare(comparison, a, b) => format!("({} {} {})", s(a), comparison.sql(), s(b)),
            E::Same(a, b) => format!("({} IS NOT DISTINCT FROM {})", s(a), s(b)),
            E::And(a, b) => format!("({} AND {})", s(a), s(b)),
            E::Or(a, b) => format!("({} OR {})", s(a), s(b)),
            E::Not(a) => format!("(NOT {})", s(a)),
            E::IsNull(a) => format!("({} IS NULL)", s(a)),
            E::In(a, list) => format!("({} IN ({}))", s(a), list.iter().map(s).collect::<Vec<_>>().join(", ")),
            E::Case(condition, a, b) => format!("(CASE WHEN {} THEN {} ELSE {} END)", s(condition), s(a), s(b)),
            E::Coalesce(a, b) => format!("coalesce({}, {})", s(a), s(b)),
            E::NullIf(a, b) => format!("nullif({}, {})", s(a), s(b)),
            E::Upper(a) => format!("upper({})", s(a)),
            E::Length(a) => format!("length({})", s(a)),
            E::Concat(a, b) => format!("({} || {})", s(a), s(b)),
            E::Outer(_, _, text) => text.clone(),
            E::InQuery(a, negated, q) => format!("({} {}IN ({}))", s(a), not(*negated), q.text),
            E::Quantified(comparison, all, a, q) => {
                format!("({} {} {} ({}))", s(a), comparison.sql(), if *all { "ALL" } else { "ANY" }, q.text)
            }
            E::Exists(negated, q) => format!("({}EXISTS ({}))", not(*negated), q.text),
            E::Scalar(q, _) => format!("({})", q.text),
        }
    }

    /// Its value for a row.
    ///
    /// # Errors
    /// What PostgreSQL would say: out of range, division by zero.
    pub fn value(&self, scope: &Scope<'_>) -> Result<Value, Failure> {
        let v = |e: &Expression| e.value(scope);
        Ok(match self {
            E::Column(i) => scope.row[*i].clone(),
            E::Literal(value, _) => value.clone(),
            E::Arithmetic(operation, a, b) => {
                let kind = self.kind(scope.columns);
                arithmetic(*operation, kind, &v(a)?, &v(b)?)?
            }
            E::Negate(a) => arithmetic(Operation::Subtract, self.kind(scope.columns), &Value::Integer(0), &v(a)?)?,
            E::Compare(comparison, a, b) => {
                let (a, b) = (v(a)?, v(b)?);
                if a.is_null() || b.is_null() { Value::Null } else { Value::Boolean(comparison.holds(a.order(&b))) }
            }
            E::Same(a, b) => Value::Boolean(v(a)?.same(&v(b)?)),
            E::And(a, b) => three_valued(&v(a)?, &v(b)?, false),
            E::Or(a, b) => three_valued(&v(a)?, &v(b)?, true),
            E::Not(a) => opposite(v(a)?),
            E::IsNull(a) => Value::Boolean(v(a)?.is_null()),
            E::In(a, list) => {
                let a = v(a)?;
                let mut found = Value::Boolean(false);
                for item in list {
                    let item = v(item)?;
                    let equal = if a.is_null() || item.is_null() { Value::Null } else { Value::Boolean(a.same(&item)) };
                    found = three_valued(&found, &equal, true);
                }
                found
            }
            E::Case(condition, a, b) => {
                if is_true(&v(condition)?) {
                    v(a)?
                } else {
                    v(b)?
                }
            }
            E::Coalesce(a, b) => match v(a)? {
                Value::Null => v(b)?,
                value => value,
            },
            E::NullIf(a, b) => {
                let (a, b) = (v(a)?, v(b)?);
                if !b.is_null() && a.same(&b) { Value::Null } else { a }
            }
            E::Upper(a) => text_of(v(a)?, |s| Value::Text(s.to_uppercase())),
            E::Length(a) => text_of(v(a)?, |s| Value::Integer(s.chars().count() as i64)),
            E::Concat(a, b) => match (v(a)?, v(b)?) {
                (Value::Text(a), Value::Text(b)) => Value::Text(a + &b),
                _ => Value::Null,
            },
            _ => return self.value_with_query(scope),
        })
    }

    /// Names of the relations that its subqueries read.
    #[must_use]
    pub fn inputs(&self) -> Vec<String> {
        let mut names = match self {
            E::InQuery(_, _, q) | E::Quantified(_, _, _, q) | E::Exists(_, q) | E::Scalar(q, _) => q.query.inputs(),
            _ => Vec::new(),
        };
        names.extend(self.parts().into_iter().flat_map(Expression::inputs));
        names
    }

    /// The expressions it is made of.
    #[must_use]
    pub fn parts(&self) -> Vec<&Expression> {
        match self {
            E::Column(_) | E::Literal(..) | E::Outer(..) | E::Exists(..) | E::Scalar(..) => Vec::new(),
            E::Negate(a) | E::Not(a) | E::IsNull(a) | E::Upper(a) | E::Length(a) => vec![a],
            E::InQuery(a, ..) | E::Quantified(_, _, a, _) => vec![a],
            E::Arithmetic(_, a, b) | E::Compare(_, a, b) => vec![a, b],
            E::Same(a, b) | E::And(a, b) | E::Or(a, b) => vec![a, b],
            E::Coalesce(a, b) | E::NullIf(a, b) | E::Concat(a, b) => vec![a, b],
            E::Case(a, b, c) => vec![a, b, c],
            E::In(a, list) => std::iter::once(a.as_ref()).chain(list).collect(),
        }
    }

    /// The value of what looks outside of its row.
    fn value_with_query(&self, scope: &Scope<'_>) -> Result<Value, Failure> {
        let rows = |nested: &Nested| nested.query.rows(&scope.context.within(scope));
        Ok(match self {
            E::Outer(place, ..) => match scope.context.outer {
                Some(outer) => outer.row[*place].clone(),
                None => panic!("{self:?} stands in no subquery"),
            },
            E::InQuery(a, negated, nested) => {
                let found = any(Comparison::Equal, &a.value(scope)?, &rows(nested)?, true);
                if *negated { opposite(found) } else { found }
            }
            E::Quantified(comparison, all, a, nested) => any(*comparison, &a.value(scope)?, &rows(nested)?, !*all),
            E::Exists(negated, nested) => Value::Boolean(rows(nested)?.is_empty() == *negated),
            E::Scalar(nested, _) => match rows(nested)?.as_slice() {
                [] => Value::Null,
                [row] => row[0].clone(),
                _ => return Err(MORE_THAN_ONE_ROW),
            },
            _ => panic!("{self:?} is no expression with a query"),
        })
    }
}

/// Whether a comparison holds for any (or, with `absorbing` false, all) of the rows' only values.
fn any(comparison: Comparison, value: &Value, rows: &[super::Row], absorbing: bool) -> Value {
    rows.iter().fold(Value::Boolean(!absorbing), |found, row| {
        let item = &row[0];
        let unknown = value.is_null() || item.is_null();
        let holds = if unknown { Value::Null } else { Value::Boolean(comparison.holds(value.order(item))) };
        three_valued(&found, &holds, absorbing)
    })
}

fn opposite(value: Value) -> Value {
    match value {
        Value::Boolean(b) => Value::Boolean(!b),
        other => other,
    }
}

fn not(negated: bool) -> &'static str {
    if negated { "NOT " } else { "" }
}

/// Whether a condition lets a row through.
#[must_use]
pub fn is_true(value: &Value) -> bool {
    matches!(value, Value::Boolean(true))
}

fn text_of(value: Value, make: impl Fn(&str) -> Value) -> Value {
    match value {
        Value::Text(s) => make(&s),
        _ => Value::Null,
    }
}

/// AND (`absorbing` false) and OR (`absorbing` true) of three truth values.
fn three_valued(a: &Value, b: &Value, absorbing: bool) -> Value {
    let is = |v: &Value, wanted: bool| matches!(v, Value::Boolean(b) if *b == wanted);
    if is(a, absorbing) || is(b, absorbing) {
        Value::Boolean(absorbing)
    } else if a.is_null() || b.is_null() {
        Value::Null
    } else {
        Value::Boolean(!absorbing)
    }
}

fn wider(a: Type, b: Type) -> Type {
    let rank = |t: Type| {
        [Type::SmallInt, Type::Integer, Type::BigInt, Type::Numeric, Type::Double].iter().position(|x| *x == t)
    };
    if rank(a) >= rank(b) { a } else { b }
}

fn arithmetic(operation: Operation, kind: Type, a: &Value, b: &Value) -> Result<Value, Failure> {
    if a.is_null() || b.is_null() {
        return Ok(Value::Null);
    }
    match (a, b) {
        (Value::Integer(a), Value::Integer(b)) if kind.is_integer() => {
            let (a, b) = (i128::from(*a), i128::from(*b));
            let result = match operation {
                Operation::Add => a + b,
                Operation::Subtract => a - b,
                Operation::Multiply => a * b,
                Operation::Divide if b != 0 => a / b,
                Operation::Modulo if b != 0 => a % b,
                Operation::Divide | Operation::Modulo => return Err(DIVISION_BY_ZERO),
            };
            let (least, most) = kind.range();
            if result < i128::from(least) || result > i128::from(most) {
                return Err(OUT_OF_RANGE);
            }
            i64::try_from(result).map(Value::Integer).map_err(|_| OUT_OF_RANGE)
        }
        (Value::Float(_), _) | (_, Value::Float(_)) => {
            let (a, b) = (a.float(), b.float());
            let result = match operation {
                Operation::Add => a + b,
                Operation::Subtract => a - b,
                Operation::Multiply => a * b,
                Operation::Divide | Operation::Modulo => panic!("floats are not divided here"),
            };
            let out_of_range = result.is_infinite() && a.is_finite() && b.is_finite();
            if out_of_range { Err(OUT_OF_RANGE) } else { Ok(Value::Float(result)) }
        }
        _ => {
            let (a, b) = (a.decimal(), b.decimal());
            Ok(Value::Numeric(match operation {
                Operation::Add => a.add(&b),
                Operation::Subtract => a.add(&b.negate()),
                Operation::Multiply => a.multiply(&b),
                Operation::Divide | Operation::Modulo => panic!("decimals are not divided here"),
            }))
        }
    }
}

impl Operation {
    fn sql(self) -> &'static str {
        match self {
            Operation::Add => "+",
            Operation::Subtract => "-",
            Operation::Multiply => "*",
            Operation::Divide => "/",
            Operation::Modulo => "%",
        }
    }
}

impl Comparison {
    /// Its sign.
    #[must_use]
    pub fn sql(self) -> &'static str {
        match self {
            Comparison::Equal => "=",
            Comparison::NotEqual => "<>",
            Comparison::Less => "<",
            Comparison::LessOrEqual => "<=",
            Comparison::Greater => ">",
            Comparison::GreaterOrEqual => ">=",
        }
    }

    /// Whether it holds for values in this order.
    #[must_use]
    pub fn holds(self, order: Ordering) -> bool {
        match self {
            Comparison::Equal => order.is_eq(),
            Comparison::NotEqual => order.is_ne(),
            Comparison::Less => order.is_lt(),
            Comparison::LessOrEqual => order.is_le(),
            Comparison::Greater => order.is_gt(),
            Comparison::GreaterOrEqual => order.is_ge(),
        }
    }
}
