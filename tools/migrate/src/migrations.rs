//! The schema's history, `migrations/`, applied to a database by refinery, and the stored functions of this release. `cargo xtask
//! migrate` does it in production.

use std::path::Path;

use anyhow::{Context, Error, Result, ensure};
use refinery::{Report, Target};
use shared::queries::release::{SCHEMA, SQL};
use tokio_postgres::Client;
use tokio_postgres::config::Host;
use tokio_postgres::error::{DbError, ErrorPosition, SqlState};
use tokio_postgres::types::Type;

use crate::database::{self, FUNCTIONS_ROLE};

mod embedded {
    refinery::embed_migrations!("../../migrations");
}

/// How many releases keep their stored functions: one that runs, and two to roll back to or to roll out.
const RELEASES_KEPT: usize = 3;
/// How long a change waits for a lock. While it waits for a table, every request that comes after it waits behind it.
const LOCK_TIMEOUT: &str = "5s";
/// The comment on a schema of stored functions, before the time.
const COMMENT: &str = "Stored functions of Scrollback, last migrated ";
/// The first release sent statements on tables, for which V2 granted rights and V3 created a function. A new database has no such release.
const DROP_WHAT_INLINE_STATEMENTS_NEED: &str = "
    revoke all on public.conversations, public.messages from scrollback_functions;
    revoke usage on schema public from scrollback_functions;
    drop function if exists public.merge_patch(json, json);";

/// What a call to [`apply`] has applied, in order: migrations such as `V1__conversations_and_messages`, and the schema of the functions.
#[derive(Debug)]
pub struct Applied(pub Vec<String>);

/// Brings the database in `url` up to date: each migration that it has not seen, in a transaction of its own, and the stored functions of
/// this release.
///
/// # Errors
/// No connection, a migration that fails, one that was edited after it had been applied, or a lock that another session holds.
pub async fn apply(url: &str, certificate_authority: Option<&Path>) -> Result<Applied> {
    let mut client = database::connect(url, certificate_authority).await?;
    // Two migrators take turns. The lock is released with the connection.
    client.batch_execute("select pg_advisory_lock(hashtext('scrollback migrations'))").await?;
    let report = apply_tables(&mut client, None).await?;
    if report.applied_migrations().iter().any(|migration| migration.version() == 1) {
        client.batch_execute(DROP_WHAT_INLINE_STATEMENTS_NEED).await?;
    }
    let mut applied: Vec<_> = report.applied_migrations().iter().map(ToString::to_string).collect();
    if create_functions(&client, SCHEMA, SQL).await.context("cannot create the stored functions")? {
        applied.push(SCHEMA.to_owned());
    }
    Ok(Applied(applied))
}

/// The first half of [`apply`]: the migrations, all of them or those up to a version. The tests of an upgrade stop in between.
pub async fn apply_tables(client: &mut Client, until: Option<i32>) -> Result<Report> {
    client.batch_execute(&format!("set lock_timeout = '{LOCK_TIMEOUT}'")).await?;
    // A release that was rolled back to does not know the later migrations, and may have to create its functions.
    let runner = embedded::migrations::runner().set_abort_missing(false).set_target(until.map_or(Target::Latest, Target::Version));
    runner.run_async(client).await.map_err(Error::new).map_err(explain).context("cannot migrate the database")
}

/// Whether the reason of a failure is a lock that was not granted in time.
#[must_use]
pub fn waited_for_a_lock(error: &Error) -> bool {
    let server = error.chain().find_map(|error| error.downcast_ref::<tokio_postgres::Error>());
    server.and_then(tokio_postgres::Error::code) == Some(&SqlState::LOCK_NOT_AVAILABLE)
}

/// Says what to do about a lock that was not granted in time.
fn explain(error: Error) -> Error {
    if !waited_for_a_lock(&error) {
        return error;
    }
    error.context(format!(
        "another session has held a lock for more than {LOCK_TIMEOUT}. The change that waited for it was not made, so that requests do \
         not queue behind it. Changes before it stay. Run this again, when no long transaction runs"
    ))
}

/// Creates a release's stored functions in a schema of their own, unless the database has them; returns whether it did. Notes the time
/// of the migration on the schema, for [`prune`].
///
/// # Errors
/// A lost connection, SQL that is wrong, or a role that may not create a schema.
pub async fn create_functions(client: &Client, schema: &str, sql: &str) -> Result<bool> {
    let found = client.query_typed("select from pg_namespace where nspname = $1", &[(&schema, Type::TEXT)]).await?;
    let create = format!(
        "create schema {schema};
        set local search_path = {schema}, pg_temp;
        {sql}
        revoke execute on all functions in schema {schema} from public;
        grant execute on all functions in schema {schema} to {FUNCTIONS_ROLE};
        grant usage on schema {schema} to {FUNCTIONS_ROLE};"
    );
    let note = format!(
        "do $$ begin
            execute format('comment on schema {schema} is %L', '{COMMENT}' || clock_timestamp() at time zone 'UTC');
        end $$;"
    );
    let create = if found.is_empty() { create } else { String::new() };
    let statements = format!("begin; {create} {note} commit");
    client.batch_execute(&statements).await.map_err(|error| locate(error, &statements))?;
    Ok(found.is_empty())
}

/// Names the stored function, and the line of it, in which the server has found a mistake.
fn locate(error: tokio_postgres::Error, statements: &str) -> Error {
    let position = match error.as_db_error().and_then(DbError::position) {
        Some(ErrorPosition::Original(position)) => usize::try_from(*position).unwrap_or_default(),
        _ => return error.into(),
    };
    let before: String = statements.chars().take(position.saturating_sub(1)).collect();
    let line = statements.lines().nth(before.matches('\n').count()).unwrap_or_default().trim();
    let function = before.rsplit_once("create function ").and_then(|(_, function)| function.split('(').next());
    Error::new(error).context(format!("{}, at \"{line}\"", function.unwrap_or("the statements around them")))
}

/// Drops the stored functions of old releases: all but this one and the two that were migrated last before it. Returns what
/// was kept and what was dropped, for people to read.
///
/// # Errors
/// A lost connection, a role that does not own the schemas, or a lock that another session holds.
pub async fn prune(client: &Client) -> Result<(Vec<String>, Vec<String>)> {
    client.batch_execute(&format!("set lock_timeout = '{LOCK_TIMEOUT}'")).await?;
    let releases = "
        select nspname::text, substr(note, length($2) + 1)
        from (select nspname, obj_description(oid, 'pg_namespace') as note from pg_namespace) as schemas
        where nspname ~ '^api_[0-9a-f]{8}$' and starts_with(note, $2)
        order by nspname <> $1, note desc";
    let releases = client.query_typed(releases, &[(&SCHEMA, Type::TEXT), (&COMMENT, Type::TEXT)]).await?;
    let releases: Vec<(String, String)> = releases.iter().map(|row| (row.get(0), row.get(1))).collect();
    let (kept, old) = releases.split_at(releases.len().min(RELEASES_KEPT));
    for (schema, _) in old {
        client.batch_execute(&format!("drop schema {schema} cascade")).await.map_err(Error::new).map_err(explain)?;
    }
    let describe = |(schema, migrated): &(String, String)| format!("{schema}, last migrated {migrated} UTC");
    let mut dropped: Vec<String> = old.iter().map(describe).collect();
    // The release before stored functions is the oldest of all.
    let has_rights = "select has_table_privilege($1, 'public.messages', 'select')";
    let has_rights = client.query_typed(has_rights, &[(&FUNCTIONS_ROLE, Type::TEXT)]).await?[0].get(0);
    if kept.len() == RELEASES_KEPT && has_rights {
        client.batch_execute(DROP_WHAT_INLINE_STATEMENTS_NEED).await?;
        dropped.push(format!("the rights of {FUNCTIONS_ROLE} on tables"));
    }
    Ok((kept.iter().map(describe).collect(), dropped))
}

/// `cargo xtask migrate`
#[derive(clap::Args)]
pub struct Options {
    /// The database, on its direct host, as the schema's owner.
    #[arg(long, value_name = "URL", env = "MIGRATION_DATABASE_URL", hide_env_values = true)]
    database_url: String,
    /// Then drops the stored functions of old releases. This release's and those of the two that were migrated before it stay.
    #[arg(long)]
    prune: bool,
}

/// Migrates a database, and sets the functions' password where there is one to set. Drops old releases' functions where it is asked to.
///
/// # Errors
/// As for [`apply`], and a pooler's host or a password that is too short. No connection within ten seconds, by the rule of
/// [`database::connect_patiently`].
pub async fn run(options: Options) -> Result<()> {
    let url = &options.database_url;
    for host in database::parse(url)?.get_hosts() {
        if let Host::Tcp(host) = host {
            ensure!(
                !host.split('.').next().is_some_and(|label| label.ends_with("-pooler")),
                "{host} is a pooler, and migrations need a session of their own: use the direct host, which is the same without -pooler"
            );
        }
    }
    let password = std::env::var("FUNCTIONS_PASSWORD").ok().filter(|password| !password.is_empty());
    if let Some(password) = &password {
        ensure!(password.chars().count() >= 16, "FUNCTIONS_PASSWORD is too short: 16 characters at least, and random ones");
    }
    // The database may have to wake up. The connections behind this one find it awake.
    let client = database::connect_patiently(url, None).await?;
    if let Some(password) = &password {
        // Before the migrations, which would make the role without a password: Neon refuses that.
        database::set_functions_password(&client, password).await?;
        println!("set the password of {}", database::FUNCTIONS_ROLE);
    }
    let Applied(applied) = apply(url, None).await?;
    for migration in &applied {
        println!("applied {migration}");
    }
    if applied.is_empty() {
        println!("nothing to do: the schema is up to date");
    }
    if options.prune {
        let (kept, dropped) = prune(&database::connect(url, None).await?).await?;
        for release in kept {
            println!("kept {release}");
        }
        for release in dropped {
            println!("dropped {release}");
        }
    }
    Ok(())
}
