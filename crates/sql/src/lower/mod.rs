//! From a logical plan to a dataflow plan.
//!
//! 1. Each node of the logical plan becomes an operator spec over its inputs, bottom up. Names of relations and
//!    renamings vanish: the dataflow knows columns by place.
//! 2. An aggregate's keys and arguments are computed by a projection below it, unless they are columns already.
//!    DISTINCT is an aggregate without functions; HAVING is a filter above.
//! 3. On the way up each node knows which of its columns identify a row, so that the output can.

mod aggregate_call;
mod constants;
mod construct;
mod expression;
mod grouping;
mod join;
mod recursion;
mod top_n;
mod unnest;
mod window;

use std::collections::HashMap;
use std::sync::Arc;

use arrow::datatypes::{Field, Schema, SchemaRef};
use changelog::ChangelogMode;
use dataflow::{AggregateCall, DataflowPlan, Expression, Node, OperatorSpec, OutputIdentity};
use datafusion::common::DFSchema;
use datafusion::logical_expr::{Aggregate, Distinct, Expr, ExprSchemable, LogicalPlan, Projection, TableScan, Union};
use datafusion::sql::sqlparser::ast;

pub use construct::Construct;
pub use expression::{RowExpression, VIEW_TIME_ZONE};

use crate::SqlError;
use crate::bind::from_plan_error;
use crate::explain::Names;
use crate::query::relation_of;
use crate::rules::decorrelate::grouping_sets_of;
use crate::rules::recursion::{RecursionTable, is_work_table};

/// Lowers one query.
pub struct Lowering<'a> {
    /// Where errors are to point.
    query: &'a ast::Query,
    names: Names,
    nodes: Vec<Node>,
    /// All columns of the relations that nodes are inputs of.
    relation_columns: HashMap<usize, SchemaRef>,
    /// Nodes of the logical plan of which only some rows are wanted.
    wanted: Vec<top_n::Wanted>,
    recursions: recursion::Recursions,
}

/// A node that has been lowered.
#[derive(Clone, Debug)]
struct Lowered {
    node: usize,
    /// Columns that are unique together, if any are known; none at all (`Some(vec![])`) for a single row.
    unique: Option<Vec<usize>>,
}

impl<'a> Lowering<'a> {
    pub fn new(query: &'a ast::Query, iterations_max: u64) -> Lowering<'a> {
        Lowering {
            query,
            names: Names::default(),
            nodes: Vec::new(),
            relation_columns: HashMap::new(),
            wanted: Vec::new(),
            recursions: recursion::Recursions::new(iterations_max),
        }
    }

    /// The dataflow of a plan whose constructs have been checked, with `schema` as its columns.
    pub fn lower(mut self, plan: &LogicalPlan, schema: &SchemaRef) -> Result<DataflowPlan, SqlError> {
        self.names = Names::of(plan);
        let top = self.node(plan)?;
        let identity = match &top.unique {
            // A single row that is not an aggregate's own state has no key to be found by.
            Some(key) if key.is_empty() && !self.is_aggregate(top.node) => OutputIdentity::WholeRow,
            Some(key) => OutputIdentity::Key(key.clone()),
            None => OutputIdentity::WholeRow,
        };
        let mode = self.nodes[top.node].mode;
        self.push(OperatorSpec::Output { identity }, vec![top.node], Arc::clone(schema), mode);
        Ok(DataflowPlan { nodes: self.nodes }.without_equal_parts().with_preaggregation())
    }

    fn is_aggregate(&self, node: usize) -> bool {
        match &self.nodes[node].spec {
            OperatorSpec::Aggregate { .. } => true,
            OperatorSpec::Project { expressions } => {
                expressions.iter().all(|e| e.column().is_some()) && self.is_aggregate(self.nodes[node].inputs[0])
            }
            _ => false,
        }
    }

    fn push(&mut self, spec: OperatorSpec, inputs: Vec<usize>, schema: SchemaRef, mode: ChangelogMode) -> usize {
        self.nodes.push(Node { spec, inputs, schema, mode });
        self.nodes.len() - 1
    }

    fn refuse(&self, construct: &Construct) -> SqlError {
        construct.refuse(self.query)
    }

    fn expression(&self, expr: &Expr, schema: &DFSchema) -> Result<Arc<dyn Expression>, SqlError> {
        self.expression_with_text(expr, schema, self.names.text(expr))
    }

    fn expression_with_text(
        &self,
        expr: &Expr,
        schema: &DFSchema,
        text: String,
    ) -> Result<Arc<dyn Expression>, SqlError> {
        let expression = RowExpression::new(expr, schema, text).map_err(|e| from_plan_error(&e, self.query))?;
        Ok(Arc::new(expression))
    }

    fn node(&mut self, plan: &LogicalPlan) -> Result<Lowered, SqlError> {
        match plan {
            LogicalPlan::TableScan(scan) if is_work_table(scan) => self.work_table(scan),
            LogicalPlan::TableScan(scan) => match RecursionTable::of(scan) {
                Some(table) => self.recursion(table, scan),
                None => self.input(scan),
            },
            LogicalPlan::SubqueryAlias(alias) => self.node(&alias.input),
            LogicalPlan::Sort(sort) => self.sort(sort),
            LogicalPlan::Limit(limit) => self.limit(limit),
            LogicalPlan::Projection(projection) => self.project(projection),
            LogicalPlan::Filter(filter) => self.filter(filter, None),
            LogicalPlan::Window(window) => match self.numbered(window) {
                Some(lowered) => lowered,
                None => self.window(window),
            },
            LogicalPlan::Aggregate(aggregate) => match aggregate.group_expr.as_slice() {
                [Expr::GroupingSet(_)] => {
                    let sets = grouping_sets_of(&aggregate.group_expr);
                    self.grouping_sets(aggregate, &sets.map_err(|e| from_plan_error(&e, self.query))?)
                }
                _ => self.aggregate(aggregate),
            },
            LogicalPlan::Distinct(Distinct::All(input)) => {
                let input = self.node(input)?;
                if self.is_in_loop(input.node) {
                    return Ok(self.distinct_in_loop(input.node));
                }
                let schema = Arc::clone(&self.nodes[input.node].schema);
                let keys: Vec<usize> = (0..schema.fields().len()).collect();
                let spec = OperatorSpec::Aggregate { keys: keys.clone(), aggregates: Vec::new() };
                let node = self.push(spec, vec![input.node], schema, ChangelogMode::Retracting);
                Ok(Lowered { node, unique: Some(keys) })
            }
            LogicalPlan::Union(union) => self.union(union),
            LogicalPlan::Values(values) => self.values(values),
            LogicalPlan::EmptyRelation(empty) => self.empty_relation(empty),
            LogicalPlan::Unnest(unnest) => self.unnest(unnest),
            LogicalPlan::Join(join) => self.join(join),
            other => match Construct::refused_in(other) {
                Ok(Some(construct)) => Err(self.refuse(&construct)),
                _ => Err(self.refuse(&Construct::Other(other.display().to_string()))),
            },
        }
    }

    fn input(&mut self, scan: &TableScan) -> Result<Lowered, SqlError> {
        let Some(relation) = relation_of(scan) else { return Err(self.refuse(&Construct::TableFunction)) };
        let columns: Vec<usize> = match &scan.projection {
            Some(columns) => columns.clone(),
            None => (0..relation.columns.fields().len()).collect(),
        };
        let schema = relation.columns.project(&columns).map_err(|e| SqlError::internal(e.to_string()))?;
        let unique = relation
            .unique_key
            .as_ref()
            .and_then(|key| key.iter().map(|k| columns.iter().position(|c| c == k)).collect());
        let spec = OperatorSpec::Input { relation: relation.id, name: relation.name.clone(), columns };
        let all = Arc::clone(&relation.columns);
        let node = self.push(spec, Vec::new(), Arc::new(schema), relation.mode);
        self.relation_columns.insert(node, all);
        Ok(Lowered { node, unique })
    }

    fn project(&mut self, projection: &Projection) -> Result<Lowered, SqlError> {
        let input = self.below_projection(projection)?;
        let schema = projection.input.schema();
        let expressions: Vec<Arc<dyn Expression>> =
            projection.expr.iter().map(|e| self.expression(e, schema)).collect::<Result<_, _>>()?;
        let width = self.nodes[input.node].schema.fields().len();
        let same = expressions.len() == width && expressions.iter().enumerate().all(|(n, e)| e.column() == Some(n));
        if same {
            return Ok(input);
        }
        let unique = input
            .unique
            .as_ref()
            .and_then(|key| key.iter().map(|k| expressions.iter().position(|e| e.column() == Some(*k))).collect());
        let output = self.schema_of(projection.schema.as_ref());
        let mode = self.nodes[input.node].mode;
        let node = self.push(OperatorSpec::Project { expressions }, vec![input.node], output, mode);
        Ok(Lowered { node, unique })
    }

    fn union(&mut self, union: &Union) -> Result<Lowered, SqlError> {
        let mut inputs = Vec::with_capacity(union.inputs.len());
        let mut mode = ChangelogMode::AppendOnly;
        for input in &union.inputs {
            let lowered = self.node(input)?;
            mode = mode.or(self.nodes[lowered.node].mode);
            inputs.push(lowered.node);
        }
        let node = self.push(OperatorSpec::Union, inputs, self.schema_of(union.schema.as_ref()), mode);
        Ok(Lowered { node, unique: None })
    }

    fn aggregate(&mut self, aggregate: &Aggregate) -> Result<Lowered, SqlError> {
        let mut input = self.node(&aggregate.input)?;
        if self.is_in_loop(input.node) {
            input.node = self.in_order(input.node);
        }
        let schema = aggregate.input.schema();
        let mut below = Below { columns: Vec::new() };
        let mut keys: Vec<usize> = aggregate.group_expr.iter().map(|e| below.place(e)).collect();
        // GROUP BY a, a groups by a once, and gives it once.
        if aggregate.schema.fields().len() < keys.len() + aggregate.aggr_expr.len() {
            let all = std::mem::take(&mut keys);
            all.into_iter().for_each(|key| {
                if !keys.contains(&key) {
                    keys.push(key)
                }
            });
        }
        let mut aggregates = Vec::with_capacity(aggregate.aggr_expr.len());
        for expr in &aggregate.aggr_expr {
            aggregates.push(self.call(expr, schema, keys.is_empty(), &mut below)?);
        }
        // Where all that is needed are columns, the aggregate takes them as they are.
        let expressions: Vec<Arc<dyn Expression>> =
            below.columns.iter().map(|e| self.expression(e, schema)).collect::<Result<_, _>>()?;
        let places: Option<Vec<usize>> = expressions.iter().map(|e| e.column()).collect();
        let input_mode = self.nodes[input.node].mode;
        let (node, keys) = match places {
            Some(places) => {
                for call in &mut aggregates {
                    call.arguments.iter_mut().for_each(|a| *a = places[*a]);
                    call.order.iter_mut().for_each(|key| key.column = places[key.column]);
                    call.filter = call.filter.map(|f| places[f]);
                }
                (input.node, keys.iter().map(|k| places[*k]).collect())
            }
            None => {
                let fields = below.columns.iter().zip(&expressions).map(|(expr, expression)| {
                    let name = self.names.text(expr);
                    let metadata = expr.to_field(schema).map(|f| f.1.metadata().clone()).unwrap_or_default();
                    Field::new(name, expression.data_type(), expression.nullable()).with_metadata(metadata)
                });
                let projected = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
                (self.push(OperatorSpec::Project { expressions }, vec![input.node], projected, input_mode), keys)
            }
        };
        let unique = Some((0..keys.len()).collect());
        let output = self.output_schema(aggregate, &aggregates);
        let spec = OperatorSpec::Aggregate { keys, aggregates };
        let node = self.push(spec, vec![node], output, ChangelogMode::Retracting);
        Ok(Lowered { node, unique })
    }

    fn schema_of(&self, schema: &DFSchema) -> SchemaRef {
        let fields = schema.fields().iter().map(|field| {
            let name = self.names.column(field.name());
            field.as_ref().clone().with_name(name)
        });
        Arc::new(Schema::new(fields.collect::<Vec<_>>()))
    }

    /// The keys, then the aggregates with the types that their functions give.
    fn output_schema(&self, aggregate: &Aggregate, calls: &[AggregateCall]) -> SchemaRef {
        let key_count = aggregate.schema.fields().len() - calls.len();
        let fields = aggregate.schema.fields().iter().enumerate().map(|(n, field)| {
            let name = self.names.column(field.name());
            let field = field.as_ref().clone().with_name(name);
            match n.checked_sub(key_count).and_then(|c| calls.get(c)) {
                Some(call) => field.with_data_type(call.function.result_type()),
                None => field,
            }
        });
        Arc::new(Schema::new(fields.collect::<Vec<_>>()))
    }
}

/// The expressions that an aggregate needs of each row, each once.
struct Below {
    columns: Vec<Expr>,
}

impl Below {
    fn place(&mut self, expr: &Expr) -> usize {
        let expr = expr.clone().unalias();
        match self.columns.iter().position(|c| *c == expr) {
            Some(place) => place,
            None => {
                self.columns.push(expr);
                self.columns.len() - 1
            }
        }
    }
}
