//! COPY … FROM STDIN and COPY … TO STDOUT.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use arrow::datatypes::FieldRef;
use sql::{QueryPlan, ast, plan_copy};

use super::insert::{check_writable, insert};
use super::rows::as_table_rows;
use super::run_context;
use super::target::{lock_table, table_of};
use crate::catalog::{Live, Relation};
use crate::session::{Session, Transaction};
use crate::{CopyFormat, CopyIn, CopyOptions, DatabaseError, Outcome};

/// The parts of the statement.
pub(super) struct Copy<'a> {
    pub source: &'a ast::CopySource,
    pub to: bool,
    pub target: &'a ast::CopyTarget,
    pub options: &'a [ast::CopyOption],
    pub legacy_options: &'a [ast::CopyLegacyOption],
}

pub(super) async fn execute(session: &mut Session, copy: &Copy<'_>) -> Result<Outcome, DatabaseError> {
    match copy.target {
        ast::CopyTarget::Stdin | ast::CopyTarget::Stdout => {}
        ast::CopyTarget::File { .. } | ast::CopyTarget::Program { .. } => {
            let hint = "psql's \\copy reads and writes files on the client.";
            return Err(DatabaseError::unsupported("COPY with a file or program").with_hint(hint));
        }
    }
    let options = copy_options(copy)?;
    match copy.source {
        ast::CopySource::Query(query) if copy.to => {
            let plan = sql::plan_query(query, &session.statement_catalog()?, &[])?;
            copy_out(session, &plan, options)
        }
        ast::CopySource::Query(_) => Err(DatabaseError::new("42601", "COPY FROM needs a table")),
        ast::CopySource::Table { table_name, columns } => {
            let name = sql::name_parts(table_name);
            if copy.to {
                let query = table_query(session, &name, columns)?;
                let plan = sql::plan_query(&query, &session.statement_catalog()?, &[])?;
                return copy_out(session, &plan, options);
            }
            check_writable(session, "COPY FROM")?;
            let relation = session.statement_catalog()?.require(&name)?;
            table_of(&relation)?;
            let columns = places(&relation, columns)?;
            let fields: Vec<FieldRef> =
                columns.iter().map(|place| Arc::clone(&relation.columns.fields()[*place])).collect();
            Ok(Outcome::CopyIn(CopyIn::new(relation.oid, columns, fields, options)))
        }
    }
}

fn copy_out(session: &mut Session, plan: &QueryPlan, options: CopyOptions) -> Result<Outcome, DatabaseError> {
    let rows = super::select::run(session, plan, &[])?;
    Ok(Outcome::CopyOut { fields: plan.schema().fields().iter().cloned().collect(), rows, options })
}

/// `SELECT columns FROM table`.
fn table_query(session: &Session, name: &[String], columns: &[ast::Ident]) -> Result<ast::Query, DatabaseError> {
    let relation = session.statement_catalog()?.find(name);
    if let Some(Live::View | Live::Source) = relation.as_ref().map(|r| &r.live) {
        let name = name.join(".");
        let hint = "Try the COPY (SELECT ...) TO variant.";
        return Err(DatabaseError::new("42809", format!("cannot copy from view \"{name}\"")).with_hint(hint));
    }
    let quoted = |name: &String| format!("\"{}\"", name.replace('"', "\"\""));
    let columns = match columns {
        [] => "*".to_owned(),
        listed => listed.iter().map(|c| quoted(&sql::identifier(c))).collect::<Vec<_>>().join(", "),
    };
    let from = name.iter().map(quoted).collect::<Vec<_>>().join(".");
    Ok(sql::parse_query(&format!("SELECT {columns} FROM {from}"))?)
}

/// The places of the listed columns; all of them if none is listed.
fn places(relation: &Relation, columns: &[ast::Ident]) -> Result<Vec<usize>, DatabaseError> {
    let definition = &relation.definition;
    let mut places: Vec<usize> = Vec::new();
    for column in columns {
        let name = sql::identifier(column);
        let place = definition.columns.iter().position(|c| c.name == name).ok_or_else(|| {
            let message = format!("column \"{name}\" of relation \"{}\" does not exist", definition.name);
            DatabaseError::new("42703", message)
        })?;
        if places.contains(&place) {
            return Err(DatabaseError::new("42701", format!("column \"{name}\" specified more than once")));
        }
        places.push(place);
    }
    if places.is_empty() {
        places = (0..definition.columns.len()).collect();
    }
    Ok(places)
}

fn copy_options(copy: &Copy<'_>) -> Result<CopyOptions, DatabaseError> {
    let mut csv = false;
    for option in copy.options {
        if let ast::CopyOption::Format(name) = option {
            csv = match name.value.to_lowercase().as_str() {
                "csv" => true,
                "text" => false,
                other => {
                    return Err(DatabaseError::new("22023", format!("COPY format \"{other}\" not recognized")));
                }
            };
        }
    }
    csv |= copy.legacy_options.iter().any(|option| matches!(option, ast::CopyLegacyOption::Csv(_)));
    let mut options = CopyOptions {
        format: if csv { CopyFormat::Csv } else { CopyFormat::Text },
        delimiter: if csv { b',' } else { b'\t' },
        null: if csv { String::new() } else { "\\N".to_owned() },
        header: false,
        quote: b'"',
        escape: b'"',
    };
    let mut escape = None;
    for option in copy.options {
        match option {
            ast::CopyOption::Format(_) | ast::CopyOption::Freeze(_) => {}
            ast::CopyOption::Delimiter(c) => options.delimiter = one_byte("delimiter", *c)?,
            ast::CopyOption::Null(text) => options.null.clone_from(text),
            ast::CopyOption::Header(header) => options.header = *header,
            ast::CopyOption::Quote(c) => options.quote = one_byte("quote", *c)?,
            ast::CopyOption::Escape(c) => escape = Some(one_byte("escape", *c)?),
            ast::CopyOption::Encoding(name) if name.eq_ignore_ascii_case("utf8") => {}
            other => return Err(DatabaseError::unsupported(format!("COPY option {other}"))),
        }
    }
    for option in copy.legacy_options {
        match option {
            ast::CopyLegacyOption::Delimiter(c) => options.delimiter = one_byte("delimiter", *c)?,
            ast::CopyLegacyOption::Null(text) => options.null.clone_from(text),
            ast::CopyLegacyOption::Header => options.header = true,
            ast::CopyLegacyOption::Csv(details) => {
                for detail in details {
                    match detail {
                        ast::CopyLegacyCsvOption::Header => options.header = true,
                        ast::CopyLegacyCsvOption::Quote(c) => options.quote = one_byte("quote", *c)?,
                        ast::CopyLegacyCsvOption::Escape(c) => escape = Some(one_byte("escape", *c)?),
                        other => return Err(DatabaseError::unsupported(format!("COPY option {other}"))),
                    }
                }
            }
            other => return Err(DatabaseError::unsupported(format!("COPY option {other}"))),
        }
    }
    options.escape = escape.unwrap_or(options.quote);
    Ok(options)
}

fn one_byte(what: &str, character: char) -> Result<u8, DatabaseError> {
    let message = format!("COPY {what} must be a single one-byte character");
    u8::try_from(character).ok().filter(u8::is_ascii).ok_or_else(|| DatabaseError::new("0A000", message))
}

/// Writes the rows of a `COPY … FROM STDIN`; gives how many.
pub(crate) async fn finish(
    session: &mut Session,
    oid: u32,
    columns: &[usize],
    rows: &[RecordBatch],
) -> Result<usize, DatabaseError> {
    if session.transaction.is_none() {
        session.transaction = Some(Transaction::new(&session.settings, false));
    }
    let catalog = session.statement_catalog()?;
    let gone = || DatabaseError::new("42P01", format!("relation with OID {oid} does not exist"));
    let relation = catalog.snapshot.relation(oid).ok_or_else(gone)?.to_sql(&catalog.snapshot);
    let plan = plan_copy(&relation, columns, &catalog)?;
    let context = run_context(session);
    let mut made = Vec::with_capacity(rows.len());
    for batch in rows {
        let all = plan.evaluate(batch, &[], &context)?;
        made.push(as_table_rows(&relation, all.columns())?);
    }
    let rows = concat_batches(&relation.columns, &made)?;
    let target = lock_table(session, oid).await?;
    Ok(insert(session, &target, rows)?.num_rows())
}
