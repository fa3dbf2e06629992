//! The stored functions of this release.
//!
//! Each `.sql` file of this folder creates one function, or helpers that several functions call. `cargo xtask migrate` creates all of them in
//! a schema that is named after their text. The functions' binaries of the same source call them there. So the functions of two releases can be used side by
//! side, and a rollback needs no change to the database.
//!
//! Rules for the functions, which `tests/api/release.rs` checks:
//! - `security definer`: the caller's role has no right on any table. A function that touches a conversation checks its owner.
//! - `set search_path from current`: the search path is fixed when the function is created. It is the functions' own schema.
//! - `set plan_cache_mode = force_generic_plan`: each session makes a plan once. It is the plan that `tests/plans` shows.
//! - `#variable_conflict use_variable`: a bare name is a variable, and a column is written with the alias of its table. A later migration
//!   may add a column with the name of a variable, and must not change what this release does. (`get_context.sql` has it the other way
//!   around: there a bare name is a column, and parameters are written by their numbers.)
//! - A function that only reads is `stable`: all its statements see the same snapshot.
//! - A function that writes locks the conversation's row first. Under READ COMMITTED, each later statement of the function sees everything
//!   that was committed before the lock was granted, so the function cannot be overtaken by another writer.

/// The SQL of all functions, for the migrator. It is a `const`, so that the functions' binaries do not contain it.
pub const SQL: &str = concat!(
    include_str!("add_message.sql"),
    include_str!("begin_turn.sql"),
    include_str!("change_messages.sql"),
    include_str!("conversation_row.sql"),
    include_str!("delete_conversation.sql"),
    include_str!("delete_message.sql"),
    include_str!("delete_oldest.sql"),
    include_str!("delete_summary.sql"),
    include_str!("erase_user.sql"),
    include_str!("export_user.sql"),
    include_str!("fork_conversation.sql"),
    include_str!("get_chat_history.sql"),
    include_str!("get_context.sql"),
    include_str!("get_context_of_line.sql"),
    include_str!("get_conversation.sql"),
    include_str!("get_message.sql"),
    include_str!("get_or_create_conversation.sql"),
    include_str!("get_summary.sql"),
    include_str!("get_tree.sql"),
    include_str!("get_user_conversations.sql"),
    include_str!("import_user.sql"),
    include_str!("lines.sql"),
    include_str!("merge_patch.sql"),
    include_str!("message_size.sql"),
    include_str!("message_status.sql"),
    include_str!("operations.sql"),
    include_str!("purge_expired.sql"),
    include_str!("rewind_conversation.sql"),
    include_str!("search_messages.sql"),
    include_str!("select_line.sql"),
    include_str!("summarize_conversation.sql"),
    include_str!("tool_messages.sql"),
    include_str!("transfer_user.sql"),
    include_str!("update_conversation.sql"),
    include_str!("update_message.sql"),
    include_str!("with_newest_message.sql"),
);

/// The schema that holds the functions: `api_` and a digest of [`SQL`], 8 hexadecimal digits. The compiler computes it.
pub const SCHEMA: &str = match str::from_utf8(&NAME) {
    Ok(name) => name,
    Err(_) => panic!("hexadecimal digits are ASCII"),
};

const NAME: [u8; 12] = name(SQL.as_bytes());

/// The schema for functions with this SQL, as [`SCHEMA`] is for [`SQL`].
#[must_use]
pub fn schema(sql: &str) -> String {
    name(sql.as_bytes()).map(char::from).iter().collect()
}

/// FNV-1a of 64 bits, folded to 32. Carriage returns do not count, so that the digest is the same in a checkout on Windows.
const fn name(sql: &[u8]) -> [u8; 12] {
    let mut digest = 0xcbf2_9ce4_8422_2325_u64;
    let mut at = 0;
    while at < sql.len() {
        if sql[at] != b'\r' {
            digest = (digest ^ sql[at] as u64).wrapping_mul(0x0100_0000_01b3);
        }
        at += 1;
    }
    digest ^= digest >> 32;
    let mut name = *b"api_00000000";
    let mut digit = 0;
    while digit < 8 {
        name[11 - digit] = b"0123456789abcdef"[(digest >> (4 * digit) & 15) as usize];
        digit += 1;
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_schema_is_named_after_the_text_of_the_functions() {
        // FNV-1a's published values for "" and "foobar", folded.
        assert_eq!((&name(b""), &name(b"foobar")), (b"api_4fd0bfc1", b"api_72ad2699"));
        assert_eq!(name(b"a\r\nb"), name(b"a\nb"));
        assert_eq!(SCHEMA, schema(SQL));
    }

    #[test]
    fn every_sql_file_is_part_of_the_release_in_alphabetical_order() {
        let folder = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/src/queries")).unwrap();
        let mut files: Vec<_> = folder.map(|file| file.unwrap().path()).collect();
        files.retain(|file| file.extension().is_some_and(|extension| extension == "sql"));
        files.sort();
        let sql: String = files.iter().map(|file| std::fs::read_to_string(file).unwrap()).collect();
        assert!(sql == SQL, "`SQL` in release.rs is not all of these files, in this order: {files:#?}");
    }
}
