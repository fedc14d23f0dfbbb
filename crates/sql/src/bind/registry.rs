//! The functions a query can name: ours first, then DataFusion's.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

use datafusion::logical_expr::{AggregateUDF, ScalarUDF, WindowUDF};

use super::window_function::typed;

use super::cast_mark::cast_mark_function;
use super::clock::clock_functions;
use super::double_function::of_doubles;
use super::type_name::type_name_function;
use super::unifying_function::taking_numerics;
use crate::correlated::array_function;

/// Functions by name, aliases among them.
#[derive(Debug)]
pub struct Registry {
    scalar: HashMap<String, Arc<ScalarUDF>>,
    aggregate: HashMap<String, Arc<AggregateUDF>>,
    window: HashMap<String, Arc<WindowUDF>>,
}

/// The functions that every session has.
pub fn registry() -> &'static Registry {
    static REGISTRY: OnceLock<Registry> = OnceLock::new();
    REGISTRY.get_or_init(Registry::build)
}

impl Registry {
    fn build() -> Registry {
        let mut scalar = HashMap::new();
        let theirs = datafusion::functions::all_default_functions()
            .into_iter()
            .chain(datafusion::functions_nested::all_default_nested_functions());
        // Later ones win: ours replace DataFusion's of the same name.
        for function in theirs.chain(functions::scalar_udfs()).chain(clock_functions()).chain([
            array_function(),
            type_name_function(),
            cast_mark_function(),
        ]) {
            let function = taking_numerics(of_doubles(function));
            for alias in function.aliases() {
                scalar.insert(alias.clone(), Arc::clone(&function));
            }
            scalar.insert(function.name().to_owned(), function);
        }
        let mut aggregate = HashMap::new();
        let theirs = datafusion::functions_aggregate::all_default_aggregate_functions();
        for function in theirs.into_iter().chain(functions::aggregate_udafs()) {
            for alias in function.aliases() {
                aggregate.insert(alias.clone(), Arc::clone(&function));
            }
            aggregate.insert(function.name().to_owned(), function);
        }
        let mut window = HashMap::new();
        for function in datafusion::functions_window::all_default_window_functions() {
            let function = typed(function);
            for alias in function.aliases() {
                window.insert(alias.clone(), Arc::clone(&function));
            }
            window.insert(function.name().to_owned(), function);
        }
        Registry { scalar, aggregate, window }
    }

    pub fn scalar(&self, name: &str) -> Option<Arc<ScalarUDF>> {
        self.scalar.get(name).cloned()
    }

    pub fn aggregate(&self, name: &str) -> Option<Arc<AggregateUDF>> {
        self.aggregate.get(name).cloned()
    }

    pub fn window(&self, name: &str) -> Option<Arc<WindowUDF>> {
        self.window.get(name).cloned()
    }
}
