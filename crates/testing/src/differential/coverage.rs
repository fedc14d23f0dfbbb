//! Which operators have met which kinds of change: counted while programs run, printed as a table at the end.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use crate::reference::{
    Call, Comparison, Expression, Function, GroupingSets, Join, JoinKind, On, Query, SetOperator, Source,
    WindowFunction,
};

/// What an epoch, or what went before it, was like for a view.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ChangeKind {
    /// Rows were added.
    Insert,
    /// Rows were taken away.
    Delete,
    /// A column that is seldom a key was changed.
    Value,
    /// A primary key, or a column that joins and groups prefer, was changed.
    Key,
    /// Rows were added that were there.
    Duplicate,
    /// A row with a NULL came.
    Null,
    /// Several of the tables below changed.
    SeveralTables,
    /// The view was made over rows that were there.
    LateCreation,
    /// The server was killed and started again.
    Restart,
}

/// All kinds, with the names of the table's columns.
pub const CHANGE_KINDS: [(ChangeKind, &str); 9] = [
    (ChangeKind::Insert, "insert"),
    (ChangeKind::Delete, "delete"),
    (ChangeKind::Value, "value"),
    (ChangeKind::Key, "key"),
    (ChangeKind::Duplicate, "duplicate"),
    (ChangeKind::Null, "null"),
    (ChangeKind::SeveralTables, "tables"),
    (ChangeKind::LateCreation, "late"),
    (ChangeKind::Restart, "restart"),
];

/// The operators that are counted; those of a query are found by `operators`.
pub const OPERATORS: [&str; 38] = [
    "filter",
    "project",
    "distinct",
    "distinct on",
    "union all",
    "union",
    "intersect",
    "intersect all",
    "except",
    "except all",
    "group by",
    "global aggregate",
    "having",
    "grouping sets",
    "distinct aggregate",
    "filter clause",
    "ordered aggregate",
    "percentile",
    "statistics of pairs",
    "inner join",
    "left join",
    "right join",
    "full join",
    "cross join",
    "non-equi join",
    "null-safe join",
    "self-join",
    "three or more",
    "exists",
    "in",
    "not in",
    "quantified",
    "scalar subquery",
    "correlated",
    "top-n",
    "window",
    "recursive",
    "view on view",
];

/// Comparisons by operator and kind of change.
#[derive(Clone, Debug, Default)]
pub struct Coverage(BTreeMap<(&'static str, ChangeKind), usize>);

impl Coverage {
    /// Counts a comparison.
    pub fn count(&mut self, operators: &BTreeSet<&'static str>, kinds: &BTreeSet<ChangeKind>) {
        for operator in operators {
            for kind in kinds {
                *self.0.entry((operator, *kind)).or_default() += 1;
            }
        }
    }

    /// Adds another's counts.
    pub fn add(&mut self, other: &Coverage) {
        for (pair, count) in &other.0 {
            *self.0.entry(*pair).or_default() += count;
        }
    }

    /// The pairs that were met less often than this.
    #[must_use]
    pub fn below(&self, least: usize) -> Vec<String> {
        let pairs = OPERATORS.iter().flat_map(|operator| CHANGE_KINDS.iter().map(move |kind| (*operator, kind)));
        pairs
            .filter(|(operator, kind)| self.of(operator, kind.0) < least)
            .map(|(operator, kind)| format!("{operator} × {}", kind.1))
            .collect()
    }

    fn of(&self, operator: &'static str, kind: ChangeKind) -> usize {
        self.0.get(&(operator, kind)).copied().unwrap_or(0)
    }
}

impl fmt::Display for Coverage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:20}", "comparisons after")?;
        CHANGE_KINDS.iter().try_for_each(|(_, name)| write!(f, "{name:>10}"))?;
        for operator in OPERATORS {
            write!(f, "\n{operator:20}")?;
            CHANGE_KINDS.iter().try_for_each(|(kind, _)| write!(f, "{:>10}", self.of(operator, *kind)))?;
        }
        Ok(())
    }
}

/// The operators of a query.
#[must_use]
pub fn operators(query: &Query) -> BTreeSet<&'static str> {
    let mut found = Found::default();
    found.query(query);
    found.0
}

#[derive(Default)]
struct Found(BTreeSet<&'static str>);

impl Found {
    fn note(&mut self, operator: &'static str, there: bool) {
        if there {
            self.0.insert(operator);
        }
    }

    fn query(&mut self, query: &Query) {
        match query {
            Query::Plain(plain) | Query::Distinct(plain) => {
                self.note("project", true);
                self.note("distinct", matches!(query, Query::Distinct(_)));
                self.source(&plain.source);
                self.filter(plain.filter.as_ref());
                plain.expressions.iter().for_each(|e| self.expression(e));
            }
            Query::DistinctOn(distinct) => {
                self.note("distinct on", true);
                self.query(&Query::Plain(distinct.plain.clone()));
            }
            Query::Group(group) => {
                self.note("group by", !group.keys.is_empty());
                self.note("global aggregate", group.keys.is_empty());
                self.note("having", group.having.is_some());
                let sets =
                    matches!(group.sets, Some(GroupingSets::Sets(_) | GroupingSets::Rollup | GroupingSets::Cube));
                self.note("grouping sets", sets);
                self.source(&group.source);
                self.filter(group.filter.as_ref());
                group.calls.iter().for_each(|call| self.call(call));
            }
            Query::Window(window) => {
                self.note("window", true);
                self.source(&window.source);
                self.filter(window.filter.as_ref());
                for call in &window.calls {
                    if let WindowFunction::Aggregate(call) = &call.function {
                        self.call(call);
                    }
                }
            }
            Query::Top(top) => {
                self.note("top-n", true);
                self.query(&top.query);
            }
            Query::Recursive(recursive) => {
                self.note("recursive", true);
                self.query(&Query::Plain(recursive.base.clone()));
                self.query(&Query::Plain(recursive.term.clone()));
            }
            Query::Set(set) => {
                let name = match (set.operator, set.all) {
                    (SetOperator::Union, true) => "union all",
                    (SetOperator::Union, false) => "union",
                    (SetOperator::Intersect, true) => "intersect all",
                    (SetOperator::Intersect, false) => "intersect",
                    (SetOperator::Except, true) => "except all",
                    (SetOperator::Except, false) => "except",
                };
                self.note(name, true);
                self.query(&set.left);
                self.query(&set.right);
            }
            Query::Union(parts) => {
                self.note("union all", true);
                parts.iter().for_each(|part| self.query(part));
            }
        }
    }

    fn call(&mut self, call: &Call) {
        self.note("distinct aggregate", call.distinct);
        self.note("filter clause", call.filter.is_some());
        self.note("ordered aggregate", !call.order.is_empty());
        let percentile =
            matches!(call.function, Function::Percentile(_) | Function::DiscretePercentile(_) | Function::Mode);
        self.note("percentile", percentile);
        self.note("statistics of pairs", call.second.is_some());
    }

    fn filter(&mut self, filter: Option<&Expression>) {
        self.note("filter", filter.is_some());
        filter.into_iter().for_each(|f| self.expression(f));
    }

    fn source(&mut self, source: &Source) {
        match source {
            Source::Relation(name) => self.note("view on view", name.starts_with('v')),
            Source::Subquery(query) => self.query(query),
            Source::Aliased(source, _) => self.source(source),
            Source::Join(join) => self.join(join),
        }
    }

    fn join(&mut self, join: &Join) {
        let name = match (&join.on, join.kind) {
            (None, _) => "cross join",
            (_, JoinKind::Inner) => "inner join",
            (_, JoinKind::Left) => "left join",
            (_, JoinKind::Right) => "right join",
            (_, JoinKind::Full) => "full join",
        };
        self.note(name, true);
        self.note("three or more", matches!(join.left, Source::Join(_)));
        let (left, right) = (join.left.inputs(), join.right.inputs());
        self.note("self-join", right.iter().any(|name| left.contains(name)));
        if let Some(On::Condition(condition)) = &join.on {
            self.condition(condition);
        }
        self.source(&join.left);
        self.source(&join.right);
    }

    fn condition(&mut self, condition: &Expression) {
        match condition {
            Expression::And(a, b) => {
                self.condition(a);
                self.condition(b);
            }
            Expression::Same(..) => self.note("null-safe join", true),
            Expression::Compare(Comparison::Equal, ..) => {}
            Expression::Compare(..) => self.note("non-equi join", true),
            _ => {}
        }
    }

    fn expression(&mut self, expression: &Expression) {
        let nested = match expression {
            Expression::InQuery(_, negated, nested) => {
                self.note(if *negated { "not in" } else { "in" }, true);
                Some(nested)
            }
            Expression::Quantified(_, _, _, nested) => {
                self.note("quantified", true);
                Some(nested)
            }
            Expression::Exists(_, nested) => {
                self.note("exists", true);
                Some(nested)
            }
            Expression::Scalar(nested, _) => {
                self.note("scalar subquery", true);
                Some(nested)
            }
            Expression::Outer(..) => {
                self.note("correlated", true);
                None
            }
            _ => None,
        };
        if let Some(nested) = nested {
            self.query(&nested.query);
        }
        expression.parts().into_iter().for_each(|part| self.expression(part));
    }
}
