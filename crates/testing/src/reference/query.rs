//! Queries: their SQL, and their rows.

use super::expression::{Expression, Scope, is_true};
use super::group::Group;
use super::order::{DistinctOn, Top};
use super::recursive::Recursive;
use super::source::Source;
use super::value::Column;
use super::window::Window;
use super::{Failure, Row};

/// Looks up a relation's columns and rows.
pub trait Relations {
    /// The columns of a relation.
    fn columns(&self, name: &str) -> &[Column];

    /// Its rows, or why it can't be read.
    ///
    /// # Errors
    /// That of the view.
    fn rows(&self, name: &str) -> Result<&[Row], Failure>;
}

/// Where a query runs.
#[derive(Clone, Copy)]
pub struct Context<'a> {
    /// The relations it names.
    pub relations: &'a dyn Relations,
    /// The row of the query around it, if it is a subquery.
    pub outer: Option<&'a Scope<'a>>,
}

impl<'a> Context<'a> {
    /// A query that is no subquery.
    #[must_use]
    pub fn new(relations: &'a dyn Relations) -> Context<'a> {
        Context { relations, outer: None }
    }

    /// A subquery of what looks at this row.
    #[must_use]
    pub fn within<'b>(&self, scope: &'b Scope<'b>) -> Context<'b>
    where
        'a: 'b,
    {
        Context { relations: self.relations, outer: Some(scope) }
    }
}

/// A query.
#[derive(Clone, Debug)]
pub enum Query {
    /// SELECT expressions
    Plain(Plain),
    /// SELECT DISTINCT expressions
    Distinct(Plain),
    /// GROUP BY
    Group(Group),
    /// UNION ALL of several
    Union(Vec<Query>),
    /// UNION, INTERSECT, EXCEPT, with and without ALL
    Set(Box<SetOperation>),
    /// OVER
    Window(Window),
    /// ORDER BY … LIMIT
    Top(Box<Top>),
    /// DISTINCT ON
    DistinctOn(DistinctOn),
    /// WITH RECURSIVE
    Recursive(Box<Recursive>),
}

/// Filter and projection.
#[derive(Clone, Debug)]
pub struct Plain {
    /// FROM
    pub source: Source,
    /// WHERE
    pub filter: Option<Expression>,
    /// The SELECT list.
    pub expressions: Vec<Expression>,
}

/// Two queries whose rows are held against each other.
#[derive(Clone, Debug)]
pub struct SetOperation {
    /// Which one.
    pub operator: SetOperator,
    /// Whether copies count.
    pub all: bool,
    /// The first query; its columns are the result's.
    pub left: Query,
    /// The second query.
    pub right: Query,
}

/// A set operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SetOperator {
    /// UNION
    Union,
    /// INTERSECT
    Intersect,
    /// EXCEPT
    Except,
}

impl Query {
    /// The columns it puts out, called c0, c1, ….
    #[must_use]
    pub fn columns(&self, relations: &dyn Relations) -> Vec<Column> {
        match self {
            Query::Plain(plain) | Query::Distinct(plain) => plain.columns(relations),
            Query::DistinctOn(distinct) => distinct.plain.columns(relations),
            Query::Group(group) => group.columns(relations),
            Query::Window(window) => window.columns(relations),
            Query::Top(top) => top.query.columns(relations),
            Query::Recursive(recursive) => recursive.columns(relations),
            Query::Set(set) => {
                let columns = set.left.columns(relations);
                either_extreme(columns, &set.right.columns(relations))
            }
            Query::Union(parts) => parts[1..]
                .iter()
                .fold(parts[0].columns(relations), |columns, part| either_extreme(columns, &part.columns(relations))),
        }
    }

    /// Names of the relations it reads.
    #[must_use]
    pub fn inputs(&self) -> Vec<String> {
        let with = |source: &Source, expressions: Vec<&Expression>| {
            let mut names = source.inputs();
            names.extend(expressions.into_iter().flat_map(Expression::inputs));
            names
        };
        match self {
            Query::Plain(plain) | Query::Distinct(plain) | Query::DistinctOn(DistinctOn { plain, .. }) => {
                with(&plain.source, plain.filter.iter().chain(&plain.expressions).collect())
            }
            Query::Group(group) => with(&group.source, group.filter.iter().collect()),
            Query::Window(window) => with(&window.source, window.filter.iter().collect()),
            Query::Top(top) => top.query.inputs(),
            Query::Recursive(recursive) => recursive.inputs(),
            Query::Set(set) => [set.left.inputs(), set.right.inputs()].concat(),
            Query::Union(parts) => parts.iter().flat_map(Query::inputs).collect(),
        }
    }

    /// Its text.
    #[must_use]
    pub fn sql(&self, relations: &dyn Relations) -> String {
        match self {
            Query::Plain(plain) => plain.sql("SELECT", relations),
            Query::Distinct(plain) => plain.sql("SELECT DISTINCT", relations),
            Query::DistinctOn(distinct) => distinct.sql(relations),
            Query::Group(group) => group.sql(relations),
            Query::Window(window) => window.sql(relations),
            Query::Top(top) => top.sql(relations),
            Query::Recursive(recursive) => recursive.sql(relations),
            Query::Set(set) => set.sql(relations),
            Query::Union(parts) => parts.iter().map(|p| p.sql(relations)).collect::<Vec<_>>().join(" UNION ALL "),
        }
    }

    /// Its rows, in no order.
    ///
    /// # Errors
    /// That of the first expression that fails.
    pub fn rows(&self, context: &Context<'_>) -> Result<Vec<Row>, Failure> {
        match self {
            Query::Plain(plain) => plain.rows(context),
            Query::Distinct(plain) => Ok(distinct(plain.rows(context)?)),
            Query::DistinctOn(distinct) => distinct.rows(context),
            Query::Group(group) => group.rows(context),
            Query::Window(window) => window.rows(context),
            Query::Top(top) => top.rows(context),
            Query::Recursive(recursive) => recursive.rows(context),
            Query::Set(set) => set.rows(context),
            Query::Union(parts) => {
                let mut rows = Vec::new();
                for part in parts {
                    rows.extend(part.rows(context)?);
                }
                Ok(rows)
            }
        }
    }
}

/// A column of a result.
#[must_use]
pub fn result_column(place: usize, kind: super::Type, extreme: bool) -> Column {
    Column { name: format!("c{place}"), kind, extreme }
}

fn either_extreme(mut columns: Vec<Column>, others: &[Column]) -> Vec<Column> {
    for (column, other) in columns.iter_mut().zip(others) {
        column.extreme |= other.extreme;
    }
    columns
}

fn distinct(rows: Vec<Row>) -> Vec<Row> {
    let mut kept: Vec<Row> = Vec::new();
    for row in rows {
        if !kept.iter().any(|k| same(k, &row)) {
            kept.push(row);
        }
    }
    kept
}

impl SetOperation {
    fn sql(&self, relations: &dyn Relations) -> String {
        let operator = match self.operator {
            SetOperator::Union => "UNION",
            SetOperator::Intersect => "INTERSECT",
            SetOperator::Except => "EXCEPT",
        };
        let all = if self.all { " ALL" } else { "" };
        format!("({}) {operator}{all} ({})", self.left.sql(relations), self.right.sql(relations))
    }

    fn rows(&self, context: &Context<'_>) -> Result<Vec<Row>, Failure> {
        let (mut left, mut right) = (self.left.rows(context)?, self.right.rows(context)?);
        if self.operator == SetOperator::Union {
            left.extend(right);
            return Ok(if self.all { left } else { distinct(left) });
        }
        if !self.all {
            left = distinct(left);
        }
        // Each row of the second query meets at most one of the first, or with sets all that are equal.
        let keeps_met = self.operator == SetOperator::Intersect;
        let mut kept = Vec::new();
        for row in left {
            let met = right.iter().position(|r| same(r, &row));
            if let Some(place) = met
                && self.all
            {
                right.swap_remove(place);
            }
            if met.is_some() == keeps_met {
                kept.push(row);
            }
        }
        Ok(kept)
    }
}

impl Plain {
    fn columns(&self, relations: &dyn Relations) -> Vec<Column> {
        let input = self.source.columns(relations);
        let column = |(i, e): (usize, &Expression)| result_column(i, e.kind(&input), reaches_limits(e, &input));
        self.expressions.iter().enumerate().map(column).collect()
    }

    /// Its text, with what comes before the list.
    #[must_use]
    pub fn sql(&self, select: &str, relations: &dyn Relations) -> String {
        let input = self.source.columns(relations);
        let list: Vec<String> =
            self.expressions.iter().enumerate().map(|(i, e)| format!("{} AS c{i}", e.sql(&input))).collect();
        format!("{select} {} FROM {}{}", list.join(", "), self.source.sql(relations), where_sql(&self.filter, &input))
    }

    /// Its rows.
    ///
    /// # Errors
    /// That of the first expression that fails.
    pub fn rows(&self, context: &Context<'_>) -> Result<Vec<Row>, Failure> {
        let columns = &self.source.columns(context.relations);
        filtered(self.source.rows(context)?, &self.filter, columns, context)?
            .iter()
            .map(|row| {
                let scope = Scope { row, columns, context: *context };
                self.expressions.iter().map(|e| e.value(&scope)).collect()
            })
            .collect()
    }
}

/// ` WHERE …`, or nothing.
#[must_use]
pub fn where_sql(filter: &Option<Expression>, input: &[Column]) -> String {
    filter.as_ref().map_or_else(String::new, |f| format!(" WHERE {}", f.sql(input)))
}

/// The rows for which the filter is true.
///
/// # Errors
/// That of the filter.
pub fn filtered(
    rows: Vec<Row>,
    filter: &Option<Expression>,
    columns: &[Column],
    context: &Context<'_>,
) -> Result<Vec<Row>, Failure> {
    let Some(filter) = filter else { return Ok(rows) };
    let mut kept = Vec::new();
    for row in rows {
        if is_true(&filter.value(&Scope { row: &row, columns, context: *context })?) {
            kept.push(row);
        }
    }
    Ok(kept)
}

/// Whether two rows are the same, NULL being the same as NULL.
#[must_use]
pub fn same(a: &Row, b: &Row) -> bool {
    a.iter().zip(b).all(|(a, b)| a.same(b))
}

/// Whether an expression's values may lie near the limits of its type.
#[must_use]
pub fn reaches_limits(expression: &Expression, input: &[Column]) -> bool {
    match expression {
        Expression::Column(i) => input[*i].extreme,
        Expression::Literal(..) | Expression::Length(_) => false,
        // Its columns are not known here.
        Expression::Scalar(..) | Expression::Outer(..) => true,
        Expression::Arithmetic(_, a, b)
        | Expression::Coalesce(a, b)
        | Expression::NullIf(a, b)
        | Expression::Case(_, a, b) => reaches_limits(a, input) || reaches_limits(b, input),
        Expression::Negate(a) => reaches_limits(a, input),
        _ => false,
    }
}
