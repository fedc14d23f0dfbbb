//! Scalar functions through DataFusion, with the answers PostgreSQL 15 gave (`cases.txt`: `expression => answer`).

use arrow::datatypes::{DataType, IntervalUnit};
use datafusion::prelude::{SessionConfig, SessionContext};

use super::{CastTarget, cast_udf, scalar_udfs};
use crate::PgError;
use crate::text_format::{Clock, write_value};

async fn answer(context: &SessionContext, expression: &str) -> String {
    let run = async { context.sql(&format!("SELECT {expression}")).await?.collect().await };
    match run.await {
        Ok(batches) => {
            let column = batches[0].column(0);
            if column.is_null(0) {
                return "NULL".to_owned();
            }
            let mut out = String::new();
            write_value(column.as_ref(), 0, &Clock::default(), &mut out);
            out
        }
        Err(error) => match PgError::find(&error) {
            Some(error) => format!("ERROR {} {}", error.sqlstate, error.message),
            None => format!("ERROR XX000 {error}"),
        },
    }
}

#[tokio::test]
async fn answers_are_those_of_postgresql() {
    let mut config = SessionConfig::new().set_bool("datafusion.optimizer.skip_failed_rules", false);
    config.options_mut().sql_parser.parse_float_as_decimal = true;
    let context = SessionContext::new_with_config(config);
    for udf in scalar_udfs() {
        context.register_udf(udf.as_ref().clone());
    }
    let interval = CastTarget::new(DataType::Interval(IntervalUnit::MonthDayNano));
    context.register_udf(cast_udf(&interval).as_ref().clone());
    let mut wrong = Vec::new();
    let mut count = 0;
    for line in include_str!("cases.txt").lines() {
        let (expression, expected) = line.split_once(" => ").expect("expression => answer");
        let got = answer(&context, expression).await;
        if got != expected {
            wrong.push(format!("{expression}\n  expected {expected}\n  got      {got}"));
        }
        count += 1;
    }
    assert!(wrong.is_empty(), "{} of {count} wrong:\n{}", wrong.len(), wrong.join("\n"));
}
