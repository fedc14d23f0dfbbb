//! Lowering of joins.
//!
//! 1. The condition is taken apart: what compares an expression of the left side with one of the right for equality is a key,
//!    one-sided conditions of an inner join were moved below it by the planner, and the rest is the residual condition.
//! 2. Keys that are not columns are computed by a projection below their side, and left out again above the join.
//! 3. Semi, anti and mark joins of the right side become those of the left one with the sides exchanged.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use dataflow::operators::join::{Join, JoinKind, join_mode};
use dataflow::{Expression, OperatorSpec};
use datafusion::common::{DFSchema, JoinType, NullEquality, ScalarValue};
use datafusion::logical_expr::expr::BinaryExpr;
use datafusion::logical_expr::utils::split_conjunction_owned;
use datafusion::logical_expr::{Expr, Join as LogicalJoin, LogicalPlan, Operator};

use super::{Construct, Lowered, Lowering};
use crate::SqlError;
use crate::bind::from_plan_error;
use crate::rules::guard;

/// Relations of up to so many columns are kept with all of them.
const WHOLE_COLUMNS_MAX: usize = 8;

/// A pair of key expressions, and whether NULL equals NULL.
struct KeyPair {
    sides: [Expr; 2],
    null_safe: bool,
}

impl Lowering<'_> {
    pub(super) fn join(&mut self, join: &LogicalJoin) -> Result<Lowered, SqlError> {
        if join.null_aware {
            return Err(self.refuse(&Construct::Subquery));
        }
        let (kind, exchanged) = match join.join_type {
            JoinType::Inner => (JoinKind::Inner, false),
            JoinType::Left => (JoinKind::Left, false),
            JoinType::Right => (JoinKind::Right, false),
            JoinType::Full => (JoinKind::Full, false),
            JoinType::LeftSemi => (JoinKind::Semi, false),
            JoinType::RightSemi => (JoinKind::Semi, true),
            JoinType::LeftAnti => (JoinKind::Anti, false),
            JoinType::RightAnti => (JoinKind::Anti, true),
            JoinType::LeftMark => (JoinKind::Mark, false),
            JoinType::RightMark => (JoinKind::Mark, true),
        };
        let inputs = if exchanged { [&join.right, &join.left] } else { [&join.left, &join.right] };
        let (pairs, residual) = take_apart(join, inputs, exchanged).map_err(|e| from_plan_error(&e, self.query))?;
        let lowered = [self.node(inputs[0])?, self.node(inputs[1])?];
        let widths = [0, 1].map(|side| self.width(lowered[side].node));
        let (mut nodes, mut keys) = (Vec::new(), Vec::new());
        let mut picked: Vec<Vec<usize>> = Vec::new();
        for side in 0..2 {
            let exprs: Vec<&Expr> = pairs.iter().map(|pair| &pair.sides[side]).collect();
            let (node, places) = self.with_keys(lowered[side].node, inputs[side], &exprs)?;
            picked.push(self.with_all_columns(node, &exprs).unwrap_or_else(|| (0..widths[side]).collect()));
            nodes.push(node);
            keys.push(places);
        }
        let picked = [picked[0].clone(), picked[1].clone()];
        let unique = unique_of(kind, &lowered, &keys, widths);
        // Where the keys are among all columns; those that were added are where they were.
        for (keys, picked) in keys.iter_mut().zip(&picked) {
            keys.iter_mut().for_each(|key| *key = picked.get(*key).copied().unwrap_or(*key));
        }
        let pair_schema = self.pair_schema(inputs, [nodes[0], nodes[1]], &picked)?;
        let residual = match &residual {
            Some(condition) => Some(self.expression(condition, &pair_schema)?),
            None => None,
        };
        let inner_widths = [0, 1].map(|side| self.width(nodes[side]));
        let spec = Join {
            kind,
            text: self.join_text(&pairs, residual.as_deref()),
            null_safe: pairs.iter().map(|pair| pair.null_safe).collect(),
            widths: inner_widths,
            keys: [keys[0].clone(), keys[1].clone()],
            residual,
        };
        let schema = self.join_schema(kind, [nodes[0], nodes[1]]);
        let mode = join_mode(kind, self.nodes[nodes[0]].mode, self.nodes[nodes[1]].mode);
        let node = self.push(OperatorSpec::Keyed(Arc::new(spec)), nodes.clone(), schema, mode);
        let node = self.without_keys(node, kind, &picked, inner_widths);
        Ok(Lowered { node, unique })
    }

    fn width(&self, node: usize) -> usize {
        self.nodes[node].schema.fields().len()
    }

    /// The side with its key expressions as columns, and where they are.
    fn with_keys(&mut self, node: usize, plan: &LogicalPlan, keys: &[&Expr]) -> Result<(usize, Vec<usize>), SqlError> {
        let width = self.width(node);
        let mut computed: Vec<Arc<dyn Expression>> = Vec::new();
        let mut fields: Vec<Field> = Vec::new();
        let mut places = Vec::with_capacity(keys.len());
        for key in keys {
            let expression = self.expression(key, plan.schema())?;
            match expression.column() {
                Some(column) => places.push(column),
                None => {
                    places.push(width + computed.len());
                    fields.push(Field::new(self.names.text(key), expression.data_type(), true));
                    computed.push(expression);
                }
            }
        }
        if computed.is_empty() {
            return Ok((node, places));
        }
        let schema = Arc::clone(&self.nodes[node].schema);
        let mut expressions = self.columns_of(&schema, 0..width);
        expressions.extend(computed);
        let all: Vec<Field> = schema.fields().iter().map(|f| f.as_ref().clone()).chain(fields).collect();
        let mode = self.nodes[node].mode;
        Ok((self.push(OperatorSpec::Project { expressions }, vec![node], Arc::new(Schema::new(all)), mode), places))
    }

    /// Lets a side that is some columns of a small relation, with columns as keys, take all of them: views that need other
    /// columns of it can then use the same index. Gives where the columns are that are wanted.
    fn with_all_columns(&mut self, node: usize, keys: &[&Expr]) -> Option<Vec<usize>> {
        let all = self.relation_columns.get(&node)?;
        let OperatorSpec::Input { columns, .. } = &mut self.nodes[node].spec else { return None };
        let (some, width) = (columns.clone(), all.fields().len());
        let plain = keys.iter().all(|key| matches!(key, Expr::Column(_)));
        if keys.is_empty() || !plain || some.len() == width || width > WHOLE_COLUMNS_MAX {
            return None;
        }
        *columns = (0..width).collect();
        self.nodes[node].schema = Arc::clone(all);
        Some(some)
    }

    /// Leaves out the columns that `with_keys` and `with_all_columns` added: those of the sides that are picked stay.
    fn without_keys(&mut self, node: usize, kind: JoinKind, picked: &[Vec<usize>; 2], inner: [usize; 2]) -> usize {
        let left = picked[0].iter().copied();
        let kept: Vec<usize> = match kind {
            JoinKind::Semi | JoinKind::Anti => left.collect(),
            JoinKind::Mark => left.chain([inner[0]]).collect(),
            _ => left.chain(picked[1].iter().map(|column| inner[0] + column)).collect(),
        };
        let schema = Arc::clone(&self.nodes[node].schema);
        if kept.len() == schema.fields().len() && kept.is_sorted() {
            return node;
        }
        let expressions = self.columns_of(&schema, kept.iter().copied());
        let fields: Vec<Field> = kept.iter().map(|column| schema.field(*column).clone()).collect();
        let mode = self.nodes[node].mode;
        self.push(OperatorSpec::Project { expressions }, vec![node], Arc::new(Schema::new(fields)), mode)
    }

    fn columns_of(&self, schema: &SchemaRef, columns: impl Iterator<Item = usize>) -> Vec<Arc<dyn Expression>> {
        let column = |index: usize| -> Arc<dyn Expression> {
            let field = schema.field(index);
            let (name, data_type) = (field.name().clone(), field.data_type().clone());
            Arc::new(dataflow::Column { index, name, data_type, nullable: field.is_nullable() })
        };
        columns.map(column).collect()
    }

    /// The columns that a residual condition sees: those of the sides, with room for added keys.
    fn pair_schema(
        &self,
        inputs: [&Arc<LogicalPlan>; 2],
        nodes: [usize; 2],
        picked: &[Vec<usize>; 2],
    ) -> Result<DFSchema, SqlError> {
        let mut fields = Vec::new();
        for side in 0..2 {
            let schema = inputs[side].schema();
            for column in 0..self.width(nodes[side]) {
                fields.push(match picked[side].iter().position(|at| *at == column) {
                    Some(place) => {
                        let (qualifier, field) = schema.qualified_field(place);
                        (qualifier.cloned(), Arc::clone(field))
                    }
                    // Under a name that no condition can have.
                    None => {
                        let field = self.nodes[nodes[side]].schema.field(column).clone();
                        (None, Arc::new(field.with_name(format!("\u{0}key {side} {column}"))))
                    }
                });
            }
        }
        DFSchema::new_with_metadata(fields, Default::default()).map_err(|e| from_plan_error(&e, self.query))
    }

    fn join_schema(&self, kind: JoinKind, nodes: [usize; 2]) -> SchemaRef {
        let fields = |side: usize, nullable: bool| {
            let fields = self.nodes[nodes[side]].schema.fields().iter();
            fields.map(move |f| f.as_ref().clone().with_nullable(nullable || f.is_nullable())).collect::<Vec<Field>>()
        };
        let pairs = |left, right| [fields(0, left), fields(1, right)].concat();
        Arc::new(Schema::new(match kind {
            JoinKind::Inner => pairs(false, false),
            JoinKind::Left => pairs(false, true),
            JoinKind::Right => pairs(true, false),
            JoinKind::Full => pairs(true, true),
            JoinKind::Semi | JoinKind::Anti => fields(0, false),
            JoinKind::Mark => [fields(0, false), vec![Field::new("mark", DataType::Boolean, false)]].concat(),
        }))
    }

    fn join_text(&self, pairs: &[KeyPair], residual: Option<&dyn Expression>) -> String {
        let equal = pairs.iter().map(|KeyPair { sides: [left, right], null_safe }| {
            let operator = if *null_safe { "IS NOT DISTINCT FROM" } else { "=" };
            format!("{} {operator} {}", self.names.text(left), self.names.text(right))
        });
        equal.chain(residual.map(|residual| residual.text())).collect::<Vec<_>>().join(" AND ")
    }
}

/// The key pairs of a join and its residual condition.
fn take_apart(
    join: &LogicalJoin,
    inputs: [&Arc<LogicalPlan>; 2],
    exchanged: bool,
) -> datafusion::common::Result<(Vec<KeyPair>, Option<Expr>)> {
    let on_null_safe = join.null_equality == NullEquality::NullEqualsNull;
    let mut pairs = Vec::new();
    let mut rest = Vec::new();
    for (left, right) in &join.on {
        let sides = if exchanged { [right.clone(), left.clone()] } else { [left.clone(), right.clone()] };
        match same_type(&sides, inputs)? {
            true => pairs.push(KeyPair { sides, null_safe: on_null_safe }),
            false => {
                let op = if on_null_safe { Operator::IsNotDistinctFrom } else { Operator::Eq };
                rest.push(Expr::BinaryExpr(BinaryExpr::new(Box::new(left.clone()), op, Box::new(right.clone()))));
            }
        }
    }
    for conjunct in join.filter.iter().cloned().flat_map(split_conjunction_owned) {
        match key_pair(&conjunct, inputs)? {
            Some(pair) => pairs.push(pair),
            None => rest.push(conjunct),
        }
    }
    // ON true is no condition.
    rest.retain(|conjunct| !matches!(conjunct, Expr::Literal(ScalarValue::Boolean(Some(true)), _)));
    let residual = if rest.is_empty() { None } else { Some(guard::all_of(rest)?) };
    Ok((pairs, residual))
}

/// The key pair that an equality is, if its sides are of different inputs.
fn key_pair(expr: &Expr, inputs: [&Arc<LogicalPlan>; 2]) -> datafusion::common::Result<Option<KeyPair>> {
    let Expr::BinaryExpr(BinaryExpr { left, op, right }) = expr else { return Ok(None) };
    let null_safe = match op {
        Operator::Eq => false,
        Operator::IsNotDistinctFrom => true,
        _ => return Ok(None),
    };
    let is_of = |expr: &Expr, input: &LogicalPlan| {
        let columns = expr.column_refs();
        !columns.is_empty() && columns.iter().all(|column| input.schema().has_column(column))
    };
    let sides = if is_of(left, inputs[0]) && is_of(right, inputs[1]) {
        [left.as_ref().clone(), right.as_ref().clone()]
    } else if is_of(right, inputs[0]) && is_of(left, inputs[1]) {
        [right.as_ref().clone(), left.as_ref().clone()]
    } else {
        return Ok(None);
    };
    Ok(same_type(&sides, inputs)?.then_some(KeyPair { sides, null_safe }))
}

fn same_type(sides: &[Expr; 2], inputs: [&Arc<LogicalPlan>; 2]) -> datafusion::common::Result<bool> {
    use datafusion::logical_expr::ExprSchemable;
    Ok(sides[0].get_type(inputs[0].schema())? == sides[1].get_type(inputs[1].schema())?)
}

/// Columns of the result (without added keys) that are unique together, if the sides' ones say so.
fn unique_of(kind: JoinKind, lowered: &[Lowered; 2], keys: &[Vec<usize>], widths: [usize; 2]) -> Option<Vec<usize>> {
    let [left, right] = [0, 1].map(|side| lowered[side].unique.clone());
    if matches!(kind, JoinKind::Semi | JoinKind::Anti | JoinKind::Mark) {
        return left;
    }
    let shifted = right.clone().map(|columns| columns.iter().map(|column| column + widths[0]).collect::<Vec<_>>());
    // A row has one match at most if the other side's key is part of what must be equal.
    let one_match = |side: usize, unique: &Option<Vec<usize>>| {
        unique.as_ref().is_some_and(|unique| unique.iter().all(|column| keys[side].contains(column)))
    };
    if matches!(kind, JoinKind::Inner | JoinKind::Left) && one_match(1, &right) && left.is_some() {
        return left;
    }
    if matches!(kind, JoinKind::Inner | JoinKind::Right) && one_match(0, &left) && shifted.is_some() {
        return shifted;
    }
    Some(left?.into_iter().chain(shifted?).collect())
}
