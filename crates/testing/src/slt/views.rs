//! The batch oracle: a materialized view holds what its query answers.

use anyhow::{Result, bail, ensure};

use crate::sql_text::{materialized_view, words};
use crate::wire::Wire;

/// The materialized views a file has made.
#[derive(Debug, Default)]
pub struct Views {
    queries: Vec<(String, String)>,
}

impl Views {
    /// Takes note of a statement that succeeded. Views that are dropped later are found out when they are asked for.
    pub fn note(&mut self, sql: &str) {
        if let Some(view) = materialized_view(sql) {
            // IF NOT EXISTS leaves a view that is there as it is.
            let kept = words(sql, 4)[3] == "if" && self.queries.iter().any(|(name, _)| *name == view.0);
            if !kept {
                self.queries.retain(|(name, _)| *name != view.0);
                self.queries.push(view);
            }
        }
    }

    /// Whether there is nothing to compare.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.queries.is_empty()
    }

    /// Compares each view that still exists with its query.
    ///
    /// # Errors
    /// The first view that differs, with both answers.
    pub async fn compare(&self, wire: &Wire) -> Result<()> {
        for (name, query) in &self.queries {
            let view = wire.bag(&format!("SELECT * FROM {name}")).await;
            let answer = wire.bag(query).await;
            match (view, answer) {
                (Ok(view), Ok(answer)) if view == answer => {
                    let found = wire.rows(&format!("CHECK MATERIALIZED VIEW {name}")).await?;
                    ensure!(found.is_empty(), "CHECK MATERIALIZED VIEW {name} finds {found:?}");
                }
                (Ok(view), Ok(answer)) => bail!("view {name} holds\n{view:?}\nbut its query answers\n{answer:?}"),
                // Dropped meanwhile, alone or with what it reads.
                (Err(e), _) if e.sqlstate == "42P01" || e.sqlstate == "3F000" => {}
                // A source can't be asked, only followed; the file itself says what the view holds.
                (Ok(_), Err(e)) if e.sqlstate == "0A000" && e.message.starts_with("source ") => {}
                (Err(view), Err(answer)) if view.sqlstate == answer.sqlstate => {}
                (view, answer) => bail!("view {name} answers\n{view:?}\nbut its query\n{answer:?}"),
            }
        }
        Ok(())
    }
}
