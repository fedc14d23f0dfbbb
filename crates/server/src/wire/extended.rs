//! The extended query protocol: prepared statements and portals, many messages before one `Sync`.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch};
use arrow::datatypes::FieldRef;
use database::{Outcome, Prepared};
use pgwire::messages::data::ParameterDescription;
use tokio::io::AsyncWrite;

use super::connection::{Connection, Failure};
use super::copy_in::AfterCopy;
use super::frontend::{Bind, Execute, Parse, Target, ValueFormat, decode_empty};
use super::input::Frame;
use super::output::Report;
use super::result::{PieceEnd, ResultColumns, RunningRows};
use crate::value::{parameter_field, read_parameter, wire_type};

/// A session keeps at most this many prepared statements, and as many portals.
const NAMED_MAX: usize = 10_000;

/// A prepared statement.
pub(super) struct Statement {
    /// `None`: the text was empty.
    prepared: Option<Prepared>,
    /// `None`: it gives no rows.
    columns: Option<ResultColumns>,
    /// Characters before the statement in the text that came with `Parse`.
    offset: usize,
}

/// A prepared statement with parameter values, and how far it has been run.
pub(super) struct Portal {
    statement: Arc<Statement>,
    parameters: Vec<ArrayRef>,
    formats: PortalFormats,
    progress: PortalProgress,
}

/// Result formats: mostly one for all columns.
enum PortalFormats {
    All(ValueFormat),
    Each(Vec<ValueFormat>),
}

enum PortalProgress {
    Ready,
    /// A row limit was reached; here it goes on.
    Suspended(RunningRows),
    /// It has given all it has. The tag is told again if it is run again.
    Finished {
        tag: String,
    },
}

impl PortalFormats {
    fn format(&self, column: usize) -> ValueFormat {
        match self {
            Self::All(format) => *format,
            Self::Each(formats) => formats.get(column).copied().unwrap_or(ValueFormat::Text),
        }
    }
}

impl<W: AsyncWrite + Unpin> Connection<W> {
    /// A message of the extended protocol other than `Sync`. A statement's error is told, and what follows is
    /// skipped up to `Sync`.
    pub(super) async fn extended(&mut self, frame: Frame<'_>) -> Result<(), Failure> {
        let handled = match frame.kind {
            b'P' => self.parse(frame.body),
            b'B' => self.bind(frame.body),
            b'D' => self.describe(frame.body),
            b'C' => self.close(frame.body),
            b'E' => self.execute(frame.body, frame.next_kind == Some(b'S')).await,
            _ => {
                decode_empty(frame.body)?;
                self.output.flush().await.map_err(Failure::from)
            }
        };
        match handled {
            Err(Failure::Statement(report)) => {
                self.fail(&report);
                self.skipping = true;
                Ok(())
            }
            handled => handled,
        }
    }

    /// `Sync`: ends the implicit transaction and says that the next query may come.
    pub(super) async fn sync(&mut self, body: &[u8]) -> Result<(), Failure> {
        decode_empty(body)?;
        self.end_extended().await?;
        self.ready();
        Ok(())
    }

    /// Ends what the messages since the last `Sync` began.
    pub(super) async fn end_extended(&mut self) -> Result<(), Failure> {
        self.skipping = false;
        if std::mem::take(&mut self.in_implicit)
            && let Err(error) = self.session.end_implicit().await
        {
            self.fail(&error.into());
        }
        // Portals live as long as their transaction.
        if self.session.transaction_status() == database::TransactionStatus::Idle && !self.portals.is_empty() {
            self.portals.clear();
        }
        Ok(())
    }

    fn parse(&mut self, body: &[u8]) -> Result<(), Failure> {
        let parse = Parse::decode(body)?;
        if parse.name.is_empty() {
            self.statements.remove("");
        } else if self.statements.contains_key(parse.name) {
            let message = format!("prepared statement \"{}\" already exists", parse.name);
            return Err(Failure::statement("42P05", message));
        } else if self.statements.len() >= NAMED_MAX {
            return Err(Failure::statement("53000", "too many prepared statements"));
        }
        let statement = self.prepare(&parse)?;
        self.statements.insert(parse.name.to_owned(), Arc::new(statement));
        self.output.parse_complete();
        Ok(())
    }

    fn prepare(&mut self, parse: &Parse<'_>) -> Result<Statement, Failure> {
        let parsed = self.session.parse(parse.query)?;
        let parsed = match parsed.as_slice() {
            [] => return Ok(Statement { prepared: None, columns: None, offset: 0 }),
            [parsed] => parsed,
            _ => {
                let message = "cannot insert multiple commands into a prepared statement";
                return Err(Failure::statement("42601", message));
            }
        };
        let unknown = |oid: u32| Report::new("42704", format!("type with OID {oid} does not exist"));
        let types: Vec<Option<FieldRef>> =
            parse.type_oids.iter().map(|oid| parameter_field(*oid).map_err(unknown)).collect::<Result<_, _>>()?;
        let offset = parsed.offset();
        let prepared = self.session.prepare(parsed, &types).map_err(|error| shifted(error.into(), offset))?;
        let columns = prepared.columns().map(ResultColumns::new);
        Ok(Statement { prepared: Some(prepared), columns, offset })
    }

    fn bind(&mut self, body: &[u8]) -> Result<(), Failure> {
        let bind = Bind::decode(body)?;
        let statement = self.statement(bind.statement)?;
        if bind.portal.is_empty() {
            self.portals.remove("");
        } else if self.portals.contains_key(bind.portal) {
            return Err(Failure::statement("42P03", format!("cursor \"{}\" already exists", bind.portal)));
        } else if self.portals.len() >= NAMED_MAX {
            return Err(Failure::statement("53000", "too many portals"));
        }
        let parameters = self.read_parameters(&bind, &statement)?;
        let column_count = statement.columns.as_ref().map_or(0, ResultColumns::column_count);
        let formats = match bind.result_formats.code_count() {
            0 | 1 => PortalFormats::All(bind.result_formats.format(0)),
            count if count == column_count => {
                PortalFormats::Each((0..count).map(|index| bind.result_formats.format(index)).collect())
            }
            count => {
                let message = format!("bind message has {count} result formats but query has {column_count} columns");
                return Err(Failure::statement("08P01", message));
            }
        };
        let portal = Portal { statement, parameters, formats, progress: PortalProgress::Ready };
        self.portals.insert(bind.portal.to_owned(), portal);
        self.output.bind_complete();
        Ok(())
    }

    fn read_parameters(&self, bind: &Bind<'_>, statement: &Statement) -> Result<Vec<ArrayRef>, Failure> {
        let fields = statement.prepared.as_ref().map_or(&[][..], Prepared::parameters);
        if bind.parameter_count != fields.len() {
            let message = format!(
                "bind message supplies {} parameters, but prepared statement \"{}\" requires {}",
                bind.parameter_count,
                bind.statement,
                fields.len()
            );
            return Err(Failure::statement("08P01", message));
        }
        let format_count = bind.parameter_formats.code_count();
        if format_count > 1 && format_count != fields.len() {
            let message = format!("bind message has {format_count} parameter formats but {} parameters", fields.len());
            return Err(Failure::statement("08P01", message));
        }
        let mut values = bind.parameters.clone();
        let mut arrays = Vec::with_capacity(fields.len());
        for (index, field) in fields.iter().enumerate() {
            let format = bind.parameter_formats.format(index);
            let array = read_parameter(field, format, values.value()?, &self.settings).map_err(|error| {
                Report::new(&error.sqlstate, error.message)
                    .with_context(format!("unnamed portal parameter ${}", index + 1))
            })?;
            arrays.push(array);
        }
        Ok(arrays)
    }

    fn describe(&mut self, body: &[u8]) -> Result<(), Failure> {
        match Target::decode(body)? {
            Target::Statement(name) => {
                let statement = self.statement(name)?;
                let fields = statement.prepared.as_ref().map_or(&[][..], Prepared::parameters);
                let oids = fields.iter().map(|field| wire_type(field).oid).collect();
                self.output.message(&ParameterDescription::new(oids));
                self.describe_columns(&statement, |_| ValueFormat::Text);
            }
            Target::Portal(name) => {
                let portal = self.portals.get(name).ok_or_else(|| no_portal(name))?;
                match &portal.statement.columns {
                    Some(columns) => columns.describe(self.output.buffer(), |column| portal.formats.format(column)),
                    None => self.output.no_data(),
                }
            }
        }
        Ok(())
    }

    fn describe_columns(&mut self, statement: &Statement, format: impl Fn(usize) -> ValueFormat) {
        match &statement.columns {
            Some(columns) => columns.describe(self.output.buffer(), format),
            None => self.output.no_data(),
        }
    }

    fn close(&mut self, body: &[u8]) -> Result<(), Failure> {
        match Target::decode(body)? {
            Target::Statement(name) => drop(self.statements.remove(name)),
            Target::Portal(name) => drop(self.portals.remove(name)),
        }
        self.output.close_complete();
        Ok(())
    }

    /// `is_last`: nothing but `Sync` follows.
    async fn execute(&mut self, body: &[u8], is_last: bool) -> Result<(), Failure> {
        let execute = Execute::decode(body)?;
        let portal = self.portals.remove(execute.portal).ok_or_else(|| no_portal(execute.portal))?;
        let Portal { statement, parameters, formats, progress } = portal;
        // One statement before `Sync` is a transaction by itself, which is told before its tag. Several, or one
        // whose portal may go on, share one that `Sync` ends.
        let is_alone = is_last && execute.row_max.is_none();
        if !self.in_implicit && !is_alone {
            self.session.begin_implicit();
            self.in_implicit = true;
        }
        let Some(prepared) = &statement.prepared else {
            self.output.empty_query();
            return Ok(());
        };
        if matches!(progress, PortalProgress::Ready) && !self.in_implicit && prepared.is_look_up() {
            let found = self.session.look_up(prepared, &parameters);
            if let (Some(found), Some(columns)) = (found, &statement.columns) {
                // `Sync` comes next, at which the portal ends.
                return self.answer_look_up(found?, columns, &formats).await;
            }
        }
        let progress = match progress {
            PortalProgress::Finished { tag } => {
                self.complete(&tag);
                PortalProgress::Finished { tag }
            }
            PortalProgress::Suspended(running) => self.run_on(running, execute.row_max).await?,
            PortalProgress::Ready => {
                let outcome = self.session.execute(prepared, &parameters).await;
                let outcome = outcome.map_err(|error| shifted(error.into(), statement.offset))?;
                let answered = self.answer(outcome, &statement, &formats, execute.row_max).await?;
                let Some(progress) = answered else {
                    return Ok(());
                };
                progress
            }
        };
        let portal = Portal { statement, parameters, formats, progress };
        self.portals.insert(execute.portal.to_owned(), portal);
        Ok(())
    }

    /// Sends what a statement answers with. `None`: the portal is of no use any more.
    async fn answer(
        &mut self,
        outcome: Outcome,
        statement: &Statement,
        formats: &PortalFormats,
        row_max: Option<usize>,
    ) -> Result<Option<PortalProgress>, Failure> {
        let tag = match outcome {
            Outcome::Empty => {
                self.output.empty_query();
                return Ok(None);
            }
            Outcome::Done { tag } => tag,
            Outcome::CopyOut { fields, rows, options } => self.copy_out(&fields, rows, &options).await?,
            Outcome::CopyIn(copy) => {
                let copy = self.begin_copy_in(copy, AfterCopy::Sync);
                self.output.flush().await?;
                self.copy = Some(copy);
                return Ok(None);
            }
            Outcome::Rows { fields, rows, tag, counts_rows } => {
                let columns = statement.columns.as_ref().filter(|columns| columns.fit(&fields));
                let Some(columns) = columns else {
                    self.session.fail_transaction();
                    return Err(Failure::statement("0A000", "cached plan must not change result type"));
                };
                let columns = columns.wire_columns(|column| formats.format(column));
                let running = RunningRows::new(rows, columns, tag, counts_rows);
                return self.run_on(running, row_max).await.map(Some);
            }
        };
        self.complete(&tag);
        Ok(Some(PortalProgress::Finished { tag }))
    }

    async fn answer_look_up(
        &mut self,
        rows: RecordBatch,
        columns: &ResultColumns,
        formats: &PortalFormats,
    ) -> Result<(), Failure> {
        let columns = columns.wire_columns(|column| formats.format(column));
        self.send_batch(&rows, 0..rows.num_rows(), &columns).await?;
        self.complete(if rows.num_rows() == 0 { "SELECT 0" } else { "SELECT 1" });
        Ok(())
    }

    async fn run_on(&mut self, mut running: RunningRows, row_max: Option<usize>) -> Result<PortalProgress, Failure> {
        match self.send_rows(&mut running, row_max).await? {
            PieceEnd::RowLimit => {
                self.output.portal_suspended();
                Ok(PortalProgress::Suspended(running))
            }
            PieceEnd::Complete => {
                let tag = running.command_tag();
                self.complete(&tag);
                Ok(PortalProgress::Finished { tag: running.finished_tag() })
            }
        }
    }

    fn statement(&self, name: &str) -> Result<Arc<Statement>, Failure> {
        self.statements.get(name).cloned().ok_or_else(|| {
            let message = match name {
                "" => "unnamed prepared statement does not exist".to_owned(),
                name => format!("prepared statement \"{name}\" does not exist"),
            };
            Failure::statement("26000", message)
        })
    }
}

fn no_portal(name: &str) -> Failure {
    Failure::statement("34000", format!("portal \"{name}\" does not exist"))
}

/// The report pointing into the text of which the statement is a part.
fn shifted(mut report: Report, offset: usize) -> Report {
    report.position = report.position.map(|position| position + offset);
    report
}
