//! The stored functions of a release: how they are written, and how they come and go while releases run side by side.

use std::path::{Path, PathBuf};
use std::process::Command;

use migrate::migrations::{create_functions, prune};
use serde_json::{Value, json};
use shared::queries::release::{SCHEMA, SQL};
use tokio_postgres::Client;
use uuid::Uuid;

use crate::support::{Answer, App, Call, Function, binary, project, start_binary};

/// The schema of another release.
const OTHER: &str = "api_00000001";

/// Functions that the endpoints' functions call. Those that touch a table are called with the conversation's row locked.
const HELPERS: [&str; 46] = [
    "abandoned",
    "abandoned_kept",
    "bring_messages",
    "calls_in",
    "change_messages",
    "conversation_row",
    "copied_message_id",
    "count_path",
    "delete_all",
    "delete_kept",
    "delete_kept_below",
    "delete_oldest",
    "deletion_id",
    "end_of_line",
    "etag",
    "has_members",
    "id_at",
    "in_one_line",
    "is_kept",
    "is_visible",
    "is_wanted",
    "keep_messages",
    "kept_among",
    "kept_path",
    "merge_patch",
    "message_bytes",
    "message_characters",
    "message_size",
    "message_status",
    "move_line",
    "move_versions",
    "newest_below",
    "newest_summary",
    "page_of",
    "path_to",
    "place_of",
    "recall",
    "remember",
    "results_in",
    "same_json",
    "speaks",
    "stored_among",
    "times_in",
    "versions_behind",
    "void_summaries",
    "with_newest_message",
];

/// What endpoints call in the place of the function of their name, where a request asks for versions.
const OF_VERSIONS: [&str; 3] = ["get_context_of_line", "get_message_versions", "get_tree"];

/// A function of another release: the binary of this one, which calls another schema.
struct OtherRelease {
    directory: PathBuf,
    function: Function,
}

impl OtherRelease {
    fn start(app: &App, name: &str) -> Self {
        let mut program = std::fs::read(binary(name)).unwrap();
        let places: Vec<usize> = (0..program.len()).filter(|at| program[*at..].starts_with(SCHEMA.as_bytes())).collect();
        assert!(!places.is_empty(), "{name} does not name its schema");
        for at in places {
            program[at..at + OTHER.len()].copy_from_slice(OTHER.as_bytes());
        }
        let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join(Uuid::now_v7().to_string());
        std::fs::create_dir(&directory).unwrap();
        let file = directory.join(name);
        std::fs::write(directory.join("program"), program).unwrap();
        // Another process writes the file that will run. A process that another test starts inherits what this one has open for
        // writing, and a program that is open for writing can't be started.
        let written = Command::new("install").args(["-m", "755", "program", name]).current_dir(&directory).status().unwrap();
        assert!(written.success());
        Self { function: start_binary(&file, 1, app.environment()), directory }
    }

    async fn send(&self, call: &Call<'_>) -> Answer {
        Answer::read(&self.function.invoke(call.event().1.to_string()).await.unwrap())
    }
}

impl Drop for OtherRelease {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

/// Creates the functions of another release, whose titles look different.
async fn create_other_release(superuser: &Client) {
    let sql = SQL.replace("$1.id, $1.user_id, $1.title,", "$1.id, $1.user_id, 'other: ' || $1.title,");
    assert_ne!(sql, SQL);
    assert!(create_functions(superuser, OTHER, &sql).await.unwrap());
}

/// The cause in the last line of a log.
fn cause(log: &str) -> String {
    let line: Value = serde_json::from_str(log.lines().next_back().unwrap()).unwrap();
    assert_eq!((&line["level"], &line["sqlstate"]), (&json!("ERROR"), &json!("3F000")), "{line}");
    line["cause"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn every_stored_function_follows_the_rules() {
    let app = App::start().await;
    let functions = "
        select proname::text, prosecdef, lanname::text, array_to_string(proconfig, '; '), prosrc, provolatile = 's',
            pg_get_userbyid(proowner)::text, array_to_string(proacl, '; ')
        from pg_proc join pg_language on pg_language.oid = prolang
        where pronamespace = $1::text::regnamespace
        order by proname";
    let functions = app.superuser().await.query_typed(functions, &[(&SCHEMA, tokio_postgres::types::Type::TEXT)]).await.unwrap();
    let functions_of_release = local::project::functions().into_iter().chain(local::project::SCHEDULED);
    let mut endpoints: Vec<String> = functions_of_release.map(|name| name.replace('-', "_")).collect();
    endpoints.extend(HELPERS.into_iter().chain(OF_VERSIONS).map(str::to_owned));
    endpoints.sort();
    assert_eq!(functions.iter().map(|row| row.get::<_, String>(0)).collect::<Vec<_>>(), endpoints);
    for row in functions {
        let (name, definer, language, config): (String, bool, String, Option<String>) =
            (row.get(0), row.get(1), row.get(2), row.get(3));
        let (source, stable, owner, acl): (String, bool, String, String) = (row.get(4), row.get(5), row.get(6), row.get(7));
        assert_eq!(owner, "postgres", "{name}");
        assert!(!acl.split("; ").any(|right| right.starts_with('=')), "{name}: everybody may call it: {acl}");
        let source = source.to_lowercase();
        assert!(!source.contains("execute "), "{name} has dynamic SQL");
        if HELPERS.contains(&&*name) {
            continue;
        }
        assert_eq!(language, "plpgsql", "{name} keeps no plans");
        assert!(definer, "{name} runs with its caller's rights");
        let config = config.unwrap_or_default();
        let more = match &*name {
            "delete_conversation"
            | "delete_summary"
            | "erase_user"
            | "export_user"
            | "fork_conversation"
            | "get_context"
            | "get_context_of_line"
            | "get_or_create_conversation"
            | "get_summary"
            | "get_tree"
            | "import_user"
            | "purge_expired"
            | "summarize_conversation" => "; enable_seqscan=off",
            "get_user_conversations" => "; enable_bitmapscan=off",
            "search_messages" => "; enable_sort=off",
            _ => "",
        };
        assert_eq!(config, format!("search_path={SCHEMA}, pg_temp; plan_cache_mode=force_generic_plan{more}"), "{name}");
        assert!(source.contains("#variable_conflict"), "{name} does not say what a bare name is");
        // A null that was read, instead of the caller's own, would open the conversation to everybody.
        let parameters = if name.starts_with("get_context") { "c, $2, $8" } else { "c, owner, retention" };
        let asks = source.matches("is_visible(").count();
        assert_eq!(asks, source.matches(&format!("is_visible({parameters})")).count(), "{name} asks for somebody else");
        assert!(!source.contains("owner :=") && !source.contains("into owner"), "{name} changes its owner");
        let writes = ["for update", "insert into", "delete from", "update public."].iter().any(|word| source.contains(word));
        assert_eq!(stable, !writes, "{name}: what only reads is stable");
    }
    let folder = project().join("shared/src/queries");
    for entry in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
        let created = entry.extension().is_none_or(|kind| kind != "sql") || SQL.contains(&std::fs::read_to_string(&entry).unwrap());
        assert!(created, "{} is not in release.rs", entry.display());
    }
}

#[tokio::test]
async fn a_function_carries_the_name_of_its_schema_and_no_sql() {
    // Builds the functions.
    let _app = App::start().await;
    let program = std::fs::read(binary("add-message")).unwrap();
    let contains = |text: &str| program.windows(text.len()).any(|window| window == text.as_bytes());
    assert!(contains(SCHEMA));
    for text in ["security definer", "create function", "public.conversations"] {
        assert!(!contains(text), "{text}");
    }
}

#[tokio::test]
async fn before_its_migration_a_release_answers_500_and_right_after_it_works() {
    let app = App::start().await;
    let conversation = app.conversation().await;
    let call = app.get(&format!("/conversations/{conversation}"));
    let function = app.function("get-conversation");
    app.superuser().await.batch_execute(&format!("drop schema {SCHEMA} cascade")).await.unwrap();
    let processes = function.process_ids();
    for _ in 0..2 {
        let answer = call.clone().refused(500, "database_error", None).await;
        assert!(!answer.body.contains("api_") && !answer.body.contains("migrate"), "{}", answer.body);
        let cause = cause(&function.log());
        assert!(cause.contains(&format!("no schema {SCHEMA}: migrate first, from the sources of this binary")), "{cause}");
    }
    assert_eq!(app.migrate().await, [SCHEMA]);
    call.expect(200).await;
    assert_eq!(function.process_ids(), processes, "without a restart");
    assert!(app.migrate().await.is_empty());
}

#[tokio::test]
async fn two_releases_run_side_by_side_and_a_rollback_needs_nothing() {
    let app = App::start().await;
    let superuser = app.superuser().await;
    create_other_release(&superuser).await;
    let path = format!("/conversations/{}", app.conversation().await);
    app.patch(&path).json(&json!({"title": "Rain"})).expect(200).await;
    let read = app.get(&path);
    let other_read = OtherRelease::start(&app, "get-conversation");
    let other_append = OtherRelease::start(&app, "add-message");
    let append = || app.post(&format!("{path}/messages")).json(&json!({"id": Uuid::now_v7(), "role": "user", "content": "x"}));
    for n in 0..20 {
        let (mine, theirs) = (append(), append());
        let (mine, theirs) = tokio::join!(mine.send(), other_append.send(&theirs));
        assert_eq!((mine.status, theirs.status), (201, 201), "{} {}", mine.body, theirs.body);
        let (mine, theirs) = tokio::join!(read.clone().send(), other_read.send(&read));
        assert_eq!((&mine.json()["title"], &theirs.json()["title"]), (&json!("Rain"), &json!("other: Rain")));
        assert_eq!((&mine.json()["message_count"], &theirs.json()["message_count"]), (&json!(2 * n + 2), &json!(2 * n + 2)));
    }
    let positions: Vec<_> = app.get(&format!("{path}/messages")).expect(200).await.array();
    assert!(positions.iter().map(|message| message["position"].as_u64().unwrap()).eq(1..=40));
}

#[tokio::test]
async fn pruning_keeps_the_releases_that_were_migrated_last() {
    let app = App::start().await;
    let superuser = app.superuser().await;
    create_other_release(&superuser).await;
    superuser.batch_execute("create schema api_0000abcd; create schema apiary").await.unwrap();
    let path = format!("/conversations/{}", app.conversation().await);
    let other = OtherRelease::start(&app, "get-conversation");
    assert_eq!(other.send(&app.get(&path)).await.status, 200);
    for schema in ["api_00000002", "api_00000003"] {
        let (kept, dropped) = prune(&superuser).await.unwrap();
        assert!(kept.iter().any(|release| release.starts_with(OTHER)) && dropped.is_empty(), "{kept:?} {dropped:?}");
        create_functions(&superuser, schema, SQL).await.unwrap();
    }
    let (kept, dropped) = prune(&superuser).await.unwrap();
    let names = |releases: &[String]| releases.iter().map(|release| release[..12].to_owned()).collect::<Vec<_>>();
    assert_eq!(names(&kept), [SCHEMA, "api_00000003", "api_00000002"], "this release, whenever it was migrated, and the last two");
    assert_eq!(names(&dropped), [OTHER]);
    assert_eq!(other.send(&app.get(&path)).await.status, 500);
    assert!(cause(&other.function.log()).contains(&format!("no schema {OTHER}: migrate first")));
    app.get(&path).expect(200).await;
    // To go back to it after all, its source is migrated.
    create_other_release(&superuser).await;
    assert_eq!(other.send(&app.get(&path)).await.status, 200);
    superuser.batch_execute("drop schema api_0000abcd; drop schema apiary").await.expect("other people's schemas stay");
}

#[tokio::test]
async fn the_release_before_stored_functions_keeps_its_rights_until_it_is_pruned() {
    let app = App::start().await;
    let superuser = app.superuser().await;
    // As that release has left the database.
    let before = format!(
        "drop schema {SCHEMA} cascade;
        grant usage on schema public to scrollback_functions;
        grant select, insert, update, delete on conversations, messages to scrollback_functions;"
    );
    superuser.batch_execute(&before).await.unwrap();
    assert_eq!(app.migrate().await, [SCHEMA]);
    let role = app.functions_role().await;
    let inline = "select from public.conversations c join public.messages m on m.conversation_id = c.id for update";
    for schema in ["api_00000002", "api_00000003"] {
        role.query_typed(inline, &[]).await.unwrap();
        assert!(prune(&superuser).await.unwrap().1.is_empty());
        create_functions(&superuser, schema, SQL).await.unwrap();
    }
    app.conversation().await;
    assert_eq!(prune(&superuser).await.unwrap().1, ["the rights of scrollback_functions on tables"]);
    assert!(prune(&superuser).await.unwrap().1.is_empty());
    let error = role.query_typed(inline, &[]).await.unwrap_err();
    assert_eq!(error.code(), Some(&tokio_postgres::error::SqlState::INSUFFICIENT_PRIVILEGE));
    app.conversation().await;
}

#[tokio::test]
async fn a_release_that_was_rolled_back_to_can_be_migrated_on_a_later_schema() {
    let app = App::start().await;
    let later = format!(
        "insert into refinery_schema_history (version, name, applied_on, checksum) values (1000, 'later', '2026-11-25T00:00:00Z', '1');
        drop schema {SCHEMA} cascade"
    );
    app.superuser().await.batch_execute(&later).await.unwrap();
    assert_eq!(app.migrate().await, [SCHEMA]);
    app.conversation().await;
}
