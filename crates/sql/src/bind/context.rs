//! What DataFusion's planner is told while it binds names: relations, functions, types, options.

use std::borrow::Cow;
use std::sync::Arc;

use arrow::datatypes::{DataType, FieldRef, SchemaRef};
use async_trait::async_trait;
use changelog::RelationId;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::Transformed;
use datafusion::common::{Result, TableReference};
use datafusion::datasource::provider_as_source;
use datafusion::functions_aggregate::planner::AggregateFunctionPlanner;
use datafusion::functions_window::planner::WindowFunctionPlanner;
use datafusion::logical_expr::expr::Cast;
use datafusion::logical_expr::planner::{ContextProvider, ExprPlanner, TypePlanner};
use datafusion::logical_expr::{
    AggregateUDF, Expr, HigherOrderUDF, LogicalPlan, LogicalPlanBuilder, Projection, ScalarUDF,
    TableProviderFilterPushDown, TableSource, TableType, WindowUDF,
};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::sql::planner::{NullOrdering, ParserOptions, SqlToRel};
use datafusion::sql::sqlparser::ast;
use parking_lot::Mutex;

use super::canonical::canonical_type;
use super::coerce::Coercion;
use super::literals::without_mark;
use super::operators::Operators;
use super::order::order_values;
use super::parameters::Parameters;
use super::system_function::system_functions;
use super::undefined::undefined_function;
use super::unifying_function::{resolved_function, unifying};
use super::{Options, analyze, failure, map_expressions, options_in, registry, rewrite};
use crate::query::scan_relation;
use crate::{Catalog, Relation, RelationKind, SqlError, SqlType};

/// How deep views may stand on views.
const VIEW_DEPTH_MAX: usize = 100;

/// Binds the names of one statement.
pub struct Binder<'a> {
    catalog: &'a dyn Catalog,
    coercion: Coercion,
    planners: Vec<Arc<dyn ExprPlanner>>,
    named: Mutex<Vec<RelationId>>,
    view_depth: Mutex<usize>,
    /// Whether LATERAL stays what it is, for `rules::decorrelate`; else it is inlined, for DataFusion to run.
    keeps_lateral: bool,
}

impl<'a> Binder<'a> {
    pub fn new(catalog: &'a dyn Catalog, parameter_types: &[Option<SqlType>]) -> Binder<'a> {
        Binder::new_in(catalog, &catalog.settings().time_zone, parameter_types)
    }

    /// A binder for a time zone that need not be the session's.
    pub fn new_in(catalog: &'a dyn Catalog, time_zone: &str, parameter_types: &[Option<SqlType>]) -> Binder<'a> {
        let coercion = Coercion {
            parameters: Parameters::new(parameter_types),
            functions: Arc::new(system_functions(catalog.functions())),
            options: options_in(time_zone),
        };
        let planners: Vec<Arc<dyn ExprPlanner>> = vec![
            Arc::new(Operators { coercion: coercion.clone() }),
            Arc::new(AggregateFunctionPlanner),
            Arc::new(WindowFunctionPlanner),
        ];
        let named = Mutex::new(Vec::new());
        Binder { catalog, coercion, planners, named, view_depth: Mutex::new(0), keeps_lateral: false }
    }

    /// The same for a view.
    pub fn keeping_lateral(self) -> Binder<'a> {
        Binder { keeps_lateral: true, ..self }
    }

    /// The logical plan of a query that `rewrite` has been over; types are not resolved yet.
    pub fn plan_query(&self, query: ast::Query) -> Result<LogicalPlan> {
        let plan = self.plan_values(query)?;
        let plan = super::set_operation::expand(plan)?;
        if self.keeps_lateral { Ok(plan) } else { super::lateral::inline(plan) }
    }

    /// The planner's plan. It knows no type for columns of VALUES in which numerics meet other numbers: such columns are cast
    /// and planned again.
    fn plan_values(&self, query: ast::Query) -> Result<LogicalPlan> {
        let planner = SqlToRel::new_with_options(self, parser_options());
        let plan = |query: ast::Query| planner.sql_statement_to_plan(ast::Statement::Query(Box::new(query)));
        let mut again = rewrite::has_values(&query).then(|| query.clone());
        let first = plan(query);
        let mut last = first.as_ref().err().map(ToString::to_string);
        while let (Some(query), Some(error)) = (&mut again, &last) {
            if !rewrite::cast_values_column(query, error) {
                break;
            }
            match plan(query.clone()) {
                Ok(plan) => return Ok(plan),
                // The next column, or the same one: casts did not help.
                Err(next) => last = Some(next.to_string()).filter(|next| next != error),
            }
        }
        first
    }

    /// An expression over the columns of `schema`, types resolved.
    pub fn plan_expression(&self, expr: ast::Expr, schema: &datafusion::common::DFSchema) -> Result<Expr> {
        let planner = SqlToRel::new_with_options(self, parser_options());
        let mut context = datafusion::sql::planner::PlannerContext::new();
        let expr = planner.sql_to_expr(expr, schema, &mut context)?;
        self.coercion.resolve(expr, schema)
    }

    /// The plan with all types resolved.
    pub fn resolve(&self, plan: LogicalPlan) -> Result<LogicalPlan> {
        let plan = self.coercion.resolve_plan(plan)?;
        // A parameter that nothing gave a type is text.
        let text = SqlType::new(DataType::Utf8);
        let plan = map_expressions(plan, &mut |expr| match &expr {
            Expr::Placeholder(placeholder) if placeholder.field.is_none() => {
                self.coercion.parameters.resolve(&placeholder.id, &text).map(Transformed::yes)
            }
            // Groups and what is said of them were compared with each other until now.
            Expr::ScalarFunction(call) if unifying(&call.func).is_some() => {
                Ok(Transformed::yes(resolved_function(expr)))
            }
            _ => Ok(without_mark(expr)),
        })?;
        analyze(order_values(plan)?, &self.coercion.options)
    }

    /// The plan of a query whose result goes to a client: NULL has type text, and `regclass` and its like are shown
    /// by name.
    pub fn for_client(&self, plan: LogicalPlan) -> Result<LogicalPlan> {
        let shown = plan.schema().iter().map(|(qualifier, field)| {
            let column = Expr::from((qualifier, field));
            let own = SqlType::from_field(field);
            let named = own.base().name.starts_with("reg") && !own.is_array();
            let expr = if own.data_type().is_null() {
                Some(Expr::Cast(Cast::new(Box::new(column.clone()), DataType::Utf8)))
            } else if let Some(canonical) = canonical_type(own.data_type()) {
                Some(Expr::Cast(Cast::new(Box::new(column.clone()), canonical)))
            } else if named {
                self.coercion.functions.get(&format!("{}_out", own.base().name)).map(|f| f.call(vec![column.clone()]))
            } else {
                None
            };
            expr.map(|e| e.alias(field.name())).ok_or(column)
        });
        let shown: Vec<std::result::Result<Expr, Expr>> = shown.collect();
        if shown.iter().all(std::result::Result::is_err) {
            return Ok(plan);
        }
        let exprs = shown.into_iter().map(|e| e.unwrap_or_else(|plain| plain)).collect::<Vec<_>>();
        let plan = LogicalPlan::Projection(Projection::try_new(exprs, Arc::new(plan))?);
        analyze(plan, &self.coercion.options)
    }

    /// What functions are told about the session.
    pub fn options(&self) -> Options {
        Arc::clone(&self.coercion.options)
    }

    /// The relations that names stand for.
    pub fn catalog(&self) -> &dyn Catalog {
        self.catalog
    }

    /// The rules for types of this statement.
    pub fn coercion(&self) -> &Coercion {
        &self.coercion
    }

    /// The parameters' types, and whether all of them were given.
    pub fn parameter_types(&self) -> (Vec<SqlType>, bool) {
        self.coercion.parameters.types()
    }

    /// The relations that were named so far.
    pub fn named(&self) -> Vec<RelationId> {
        self.named.lock().clone()
    }

    fn relation_source(&self, relation: Relation) -> Result<Arc<dyn TableSource>> {
        let mut named = self.named.lock();
        if !named.contains(&relation.id) {
            named.push(relation.id);
        }
        drop(named);
        let plan = match &relation.kind {
            RelationKind::View { query } => Some(self.view_plan(&relation, query)?),
            _ => None,
        };
        Ok(provider_as_source(Arc::new(RelationTable { relation, plan })))
    }

    /// The plan of a view's query, with the view's column names.
    fn view_plan(&self, relation: &Relation, text: &str) -> Result<LogicalPlan> {
        let mut depth = self.view_depth.lock();
        if *depth >= VIEW_DEPTH_MAX {
            return Err(failure(SqlError::new(b"54001", "views are nested too deeply")));
        }
        *depth += 1;
        drop(depth);
        let mut query = crate::parse_query(text).map_err(failure)?;
        rewrite::rewrite_query(&mut query, self.catalog).map_err(failure)?;
        let plan = self.resolve(self.plan_query(query)?)?;
        *self.view_depth.lock() -= 1;
        let columns = plan.schema().columns();
        let names = relation.columns.fields().iter().map(|f| f.name().clone());
        let renamed = columns.into_iter().zip(names).map(|(column, name)| Expr::Column(column).alias(name));
        LogicalPlanBuilder::from(plan).project(renamed.collect::<Vec<_>>())?.build()
    }
}

fn parser_options() -> ParserOptions {
    ParserOptions::new()
        .with_parse_float_as_decimal(true)
        .with_enable_ident_normalization(true)
        .with_map_string_types_to_utf8view(false)
        .with_default_null_ordering(NullOrdering::NullsMax)
}

impl ContextProvider for Binder<'_> {
    fn get_table_source(&self, name: TableReference) -> Result<Arc<dyn TableSource>> {
        let parts: Vec<String> = match &name {
            TableReference::Bare { table } => vec![table.to_string()],
            TableReference::Partial { schema, table } => vec![schema.to_string(), table.to_string()],
            TableReference::Full { catalog, schema, table } => {
                vec![catalog.to_string(), schema.to_string(), table.to_string()]
            }
        };
        match self.catalog.resolve(&parts) {
            Some(relation) => self.relation_source(relation),
            None => Err(failure(SqlError::undefined_relation(parts.join(".")))),
        }
    }

    fn get_table_function_source(&self, name: &str, arguments: Vec<Expr>) -> Result<Arc<dyn TableSource>> {
        super::table_function::source(name, arguments, &self.coercion)
    }

    fn create_cte_work_table(&self, name: &str, schema: SchemaRef) -> Result<Arc<dyn TableSource>> {
        let table = datafusion::catalog::cte_worktable::CteWorkTable::new(name, schema);
        Ok(provider_as_source(Arc::new(table)))
    }

    fn get_expr_planners(&self) -> &[Arc<dyn ExprPlanner>] {
        &self.planners
    }

    fn get_type_planner(&self) -> Option<Arc<dyn TypePlanner>> {
        Some(Arc::new(SqlTypes))
    }

    fn get_function_meta(&self, name: &str) -> Option<Arc<ScalarUDF>> {
        let known = self.coercion.functions.get(name).cloned().or_else(|| registry().scalar(name));
        let is_other = name == "unnest" || registry().aggregate(name).is_some() || registry().window(name).is_some();
        if known.is_none() && !is_other { Some(undefined_function(name)) } else { known }
    }

    fn get_higher_order_meta(&self, _name: &str) -> Option<Arc<HigherOrderUDF>> {
        None
    }

    fn get_aggregate_meta(&self, name: &str) -> Option<Arc<AggregateUDF>> {
        registry().aggregate(name)
    }

    fn get_window_meta(&self, name: &str) -> Option<Arc<WindowUDF>> {
        registry().window(name)
    }

    fn get_variable_type(&self, _names: &[String]) -> Option<DataType> {
        None
    }

    fn options(&self) -> &ConfigOptions {
        &self.coercion.options
    }

    // The lists of names serve only "did you mean", which PostgreSQL has not; but they must not be empty.
    fn udf_names(&self) -> Vec<String> {
        vec!["coalesce".to_owned()]
    }

    fn higher_order_function_names(&self) -> Vec<String> {
        Vec::new()
    }

    fn udaf_names(&self) -> Vec<String> {
        vec!["count".to_owned()]
    }

    fn udwf_names(&self) -> Vec<String> {
        vec!["rank".to_owned()]
    }
}

/// SQL types as fields with our metadata.
#[derive(Debug)]
struct SqlTypes;

impl TypePlanner for SqlTypes {
    fn plan_type_field(&self, sql_type: &ast::DataType) -> Result<Option<FieldRef>> {
        let found = SqlType::from_ast(sql_type).map_err(failure)?;
        Ok(Some(Arc::new(found.field("", true))))
    }
}

/// A relation, as DataFusion's plans name it.
#[derive(Debug)]
pub struct RelationTable {
    /// The relation.
    pub relation: Relation,
    /// A view's plan.
    plan: Option<LogicalPlan>,
}

#[async_trait]
impl TableProvider for RelationTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.relation.columns)
    }

    fn table_type(&self) -> TableType {
        if self.plan.is_some() { TableType::View } else { TableType::Base }
    }

    fn get_logical_plan(&self) -> Option<Cow<'_, LogicalPlan>> {
        self.plan.as_ref().map(Cow::Borrowed)
    }

    async fn scan(
        &self,
        _state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        _limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        scan_relation(&self.relation, projection, filters).map_err(failure)
    }

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> Result<Vec<TableProviderFilterPushDown>> {
        // A filter on a key column may turn the scan into a look-up; it is checked again above.
        let key: &[usize] = match &self.relation.read {
            Some(read) => read.unique_key().unwrap_or_default(),
            None => &[],
        };
        let names: Vec<&str> = key.iter().map(|k| self.relation.columns.field(*k).name().as_str()).collect();
        let answer = |filter: &&Expr| match crate::query::key_value(filter) {
            Some((column, _)) if names.contains(&column) => TableProviderFilterPushDown::Inexact,
            _ => TableProviderFilterPushDown::Unsupported,
        };
        Ok(filters.iter().map(answer).collect())
    }
}
