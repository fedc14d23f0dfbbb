//! Whether parts of two plans compute the same of the same relations.
//!
//! 1. Two nodes are compared from the top down: what they do, then their inputs.
//! 2. Expressions are equal if their shapes are, over columns at the same places. Names play no role.
//! 3. Between views only operators without state of their own are compared; others count as different. Within a view equal
//!    aggregates are one, too (`without_equal_parts`): a common table expression that is used twice is computed once.

use changelog::RelationId;

use crate::{AggregateCall, DataflowPlan, Expression, Node, OperatorSpec};

/// The filters of a plan that another one has, too, over the same relation and above equal ones, whatever other columns
/// each takes: what is selected for one is selected for both. Of several in a row the last one.
#[must_use]
pub fn equal_work(plan: &DataflowPlan, other: &DataflowPlan) -> Vec<usize> {
    let filters = |plan: &DataflowPlan| -> Vec<usize> {
        (0..plan.nodes.len()).filter(|at| matches!(plan.nodes[*at].spec, OperatorSpec::Filter { .. })).collect()
    };
    let others = filters(other);
    let equal = |at: &usize| others.iter().any(|o| selects_same((plan, *at), (other, *o)).is_some());
    let all: Vec<usize> = filters(plan).into_iter().filter(equal).collect();
    let is_below = |at: &usize| all.iter().any(|above| plan.nodes[*above].inputs.contains(at));
    all.iter().copied().filter(|at| !is_below(at)).collect()
}

/// If two nodes are equal filters over inputs of the same relation: the relation, and its columns that each node gives.
fn selects_same(left: (&DataflowPlan, usize), right: (&DataflowPlan, usize)) -> Option<(RelationId, [Vec<usize>; 2])> {
    let (l, r) = (&left.0.nodes[left.1], &right.0.nodes[right.1]);
    match (&l.spec, &r.spec) {
        (
            OperatorSpec::Input { relation, columns, .. },
            OperatorSpec::Input { relation: other, columns: other_columns, .. },
        ) => (relation == other).then(|| (*relation, [columns.clone(), other_columns.clone()])),
        (OperatorSpec::Filter { predicate: l_is }, OperatorSpec::Filter { predicate: r_is }) => {
            let (relation, columns) = selects_same((left.0, l.inputs[0]), (right.0, r.inputs[0]))?;
            let (l_shape, l_places) = l_is.shape()?;
            let (r_shape, r_places) = r_is.shape()?;
            let of = |places: &[usize], columns: &[usize]| places.iter().map(|at| columns[*at]).collect::<Vec<_>>();
            let same = of(l_places, &columns[0]) == of(r_places, &columns[1]) && l_shape.is_equal(r_shape.as_ref());
            same.then_some((relation, columns))
        }
        _ => None,
    }
}

/// Whether two nodes give the same rows, always.
pub(crate) fn is_same(left: (&DataflowPlan, usize), right: (&DataflowPlan, usize)) -> bool {
    let (l, r) = (&left.0.nodes[left.1], &right.0.nodes[right.1]);
    let same_columns = l.schema.fields().len() == r.schema.fields().len()
        && l.schema.fields().iter().zip(r.schema.fields()).all(|(l, r)| l.data_type() == r.data_type());
    same_columns
        && !matches!(l.spec, OperatorSpec::Aggregate { .. } | OperatorSpec::Preaggregate { .. })
        && does_same(l, r)
        && l.inputs.len() == r.inputs.len()
        && l.inputs.iter().zip(&r.inputs).all(|(l, r)| is_same((left.0, *l), (right.0, *r)))
}

/// Whether two nodes over equal inputs give the same rows.
fn does_same(left: &Node, right: &Node) -> bool {
    let same_spec = match (&left.spec, &right.spec) {
        (
            OperatorSpec::Input { relation, columns, .. },
            OperatorSpec::Input { relation: other, columns: other_columns, .. },
        ) => relation == other && columns == other_columns,
        (OperatorSpec::Filter { predicate: l }, OperatorSpec::Filter { predicate: r }) => {
            is_same_expression(l.as_ref(), r.as_ref())
        }
        (OperatorSpec::Project { expressions: l }, OperatorSpec::Project { expressions: r }) => {
            l.len() == r.len() && l.iter().zip(r).all(|(l, r)| is_same_expression(l.as_ref(), r.as_ref()))
        }
        (OperatorSpec::Union, OperatorSpec::Union) => true,
        (
            OperatorSpec::Aggregate { keys, aggregates },
            OperatorSpec::Aggregate { keys: other_keys, aggregates: others },
        )
        | (
            OperatorSpec::Preaggregate { keys, aggregates },
            OperatorSpec::Preaggregate { keys: other_keys, aggregates: others },
        ) => {
            keys == other_keys
                && aggregates.len() == others.len()
                && aggregates.iter().zip(others).all(|(l, r)| is_same_call(l, r))
        }
        _ => false,
    };
    same_spec && left.mode == right.mode
}

fn is_same_call(left: &AggregateCall, right: &AggregateCall) -> bool {
    let (l, r) = (&left.function, &right.function);
    (l.name(), l.result_type(), l.parameters()) == (r.name(), r.result_type(), r.parameters())
        && (&left.arguments, &left.order, left.distinct, left.filter)
            == (&right.arguments, &right.order, right.distinct, right.filter)
}

impl DataflowPlan {
    /// The same plan, in which one node stands for equal ones over the same inputs. Nodes of loops stay as they are, and
    /// those whose columns have other names.
    #[must_use]
    pub fn without_equal_parts(self) -> DataflowPlan {
        let loop_of = crate::layout::loops(&self);
        let mut nodes: Vec<Node> = Vec::with_capacity(self.nodes.len());
        let mut moved_to: Vec<usize> = Vec::with_capacity(self.nodes.len());
        for (mut node, in_loop) in self.nodes.into_iter().zip(loop_of) {
            node.inputs.iter_mut().for_each(|input| *input = moved_to[*input]);
            if let OperatorSpec::Feedback { recursion } = &mut node.spec {
                *recursion = moved_to[*recursion];
            }
            let equal =
                |other: &Node| other.inputs == node.inputs && other.schema == node.schema && does_same(other, &node);
            let equal = if in_loop.is_none() { nodes.iter().position(equal) } else { None };
            moved_to.push(equal.unwrap_or(nodes.len()));
            if equal.is_none() {
                nodes.push(node);
            }
        }
        DataflowPlan { nodes }
    }
}

fn is_same_expression(left: &dyn Expression, right: &dyn Expression) -> bool {
    let same = match (left.column(), right.column()) {
        (Some(l), Some(r)) => l == r,
        (None, None) => match (left.shape(), right.shape()) {
            (Some((l, places)), Some((r, others))) => places == others && l.is_equal(r.as_ref()),
            _ => false,
        },
        _ => false,
    };
    same && left.data_type() == right.data_type()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::OutputIdentity;
    use crate::testing::{Greater, PlanBuilder, column};
    use changelog::ChangelogMode;

    /// A filter over some columns of a relation, and a projection of them.
    fn plan(relation: u32, columns: &[usize], filter: (usize, i64), projected: usize) -> DataflowPlan {
        let mut plan = PlanBuilder::default();
        let input = plan.input(relation, columns, ChangelogMode::AppendOnly);
        let kept = plan.filter(input, Greater::new(filter.0, filter.1));
        plan.project(kept, vec![column(projected)]);
        plan.output(OutputIdentity::WholeRow)
    }

    #[test]
    fn filters_are_found_whatever_columns_are_taken() {
        let one = plan(1, &[0, 2], (1, 5), 0);
        assert_eq!(equal_work(&one, &plan(1, &[2, 3], (0, 5), 1)), [1]);
        assert!(equal_work(&one, &plan(1, &[2, 3], (1, 5), 1)).is_empty());
        assert!(equal_work(&one, &plan(2, &[0, 2], (1, 5), 0)).is_empty());
        assert!(equal_work(&one, &plan(1, &[0, 2], (1, 6), 0)).is_empty());
    }

    #[test]
    fn equal_parts_become_one() {
        let twice = |bounds: [i64; 2], keys: [usize; 2]| {
            let mut plan = PlanBuilder::default();
            let parts: Vec<usize> = bounds
                .into_iter()
                .zip(keys)
                .map(|(bound, key)| {
                    let input = plan.input(1, &[0, 1], ChangelogMode::AppendOnly);
                    let kept = plan.filter(input, Greater::new(1, bound));
                    plan.aggregate(kept, &[key], &[1])
                })
                .collect();
            plan.union(&parts);
            let merged = plan.output(OutputIdentity::WholeRow).without_equal_parts();
            let is_aggregate = |node: &&Node| matches!(node.spec, OperatorSpec::Aggregate { .. });
            (merged.nodes.iter().filter(is_aggregate).count(), merged.nodes.last().map(|node| node.inputs.clone()))
        };
        assert_eq!(twice([3, 3], [0, 0]).0, 1);
        assert_eq!(twice([3, 4], [0, 0]).0, 2);
        assert_eq!(twice([3, 3], [0, 1]).0, 2);
    }

    #[test]
    fn every_part_counts() {
        let one = plan(1, &[0, 2], (1, 5), 0);
        let same = |other: &DataflowPlan| is_same((&one, 2), (other, 2));
        assert!(same(&plan(1, &[0, 2], (1, 5), 0)));
        assert!(!same(&plan(2, &[0, 2], (1, 5), 0)));
        assert!(!same(&plan(1, &[0, 1], (1, 5), 0)));
        assert!(!same(&plan(1, &[0, 2], (0, 5), 0)));
        assert!(!same(&plan(1, &[0, 2], (1, 6), 0)));
        assert!(!same(&plan(1, &[0, 2], (1, 5), 1)));
        assert!(!is_same((&one, 1), (&one, 2)));
        assert!(is_same((&one, 0), (&plan(1, &[0, 2], (0, 9), 1), 0)));
    }
}
