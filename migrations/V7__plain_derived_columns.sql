-- `size` and `characters` become plain columns, which the stored functions fill. PostgreSQL rewrites the whole table when the rule of a
-- generated column changes. Now a release can change its rule without that.
--
-- The trigger serves writers that do not fill the columns: the release before this one, and SQL of an operator's own. For a stored function
-- that fills them, PostgreSQL evaluates the condition and does not call the function. `always`: also while rows are restored or replicated.
-- A migration that changes a rule replaces the function. One that drops the trigger waits until no kept release needs it.

-- The triggers below do for the release before what the expressions did.
-- squawk-ignore ban-drop-generated-expression
alter table messages alter column size drop expression, alter column characters drop expression;

create function fill_derived_columns() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    new.size := coalesce(octet_length(new.content), 0)
        + coalesce(octet_length(new.content_parts::text), 0)
        + coalesce(octet_length(new.tool_calls::text), 0)
        + coalesce(octet_length(new.tool_call_id), 0)
        + coalesce(octet_length(new.name), 0)
        + octet_length(new.metadata::text);
    new.characters := coalesce(char_length(new.content), 0)
        + coalesce(char_length(new.content_parts::text), 0)
        + coalesce(char_length(new.tool_calls::text), 0);
    return new;
end
$$;
revoke execute on function fill_derived_columns() from public;

create trigger messages_fill_inserted before insert on messages
    for each row when (new.size is null or new.characters is null)
    execute function fill_derived_columns();
create trigger messages_fill_updated before update of content, content_parts, tool_calls, tool_call_id, name, metadata on messages
    for each row when (new.size = old.size and new.characters = old.characters)
    execute function fill_derived_columns();
alter table messages enable always trigger messages_fill_inserted;
alter table messages enable always trigger messages_fill_updated;
