-- What OpenAI's SDKs dump of a message beside its content and its calls: refusal, annotations, audio, function_call, reasoning_content.
-- Null for almost all messages, which costs them nothing: a row has a bitmap of its null columns anyway.

alter table messages add column extra json;

-- The release before edits a message without its extra, and counts its bytes all the same.
create or replace function fill_derived_columns() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    new.size := coalesce(octet_length(new.content), 0)
        + coalesce(octet_length(new.content_parts::text), 0)
        + coalesce(octet_length(new.tool_calls::text), 0)
        + coalesce(octet_length(new.tool_call_id), 0)
        + coalesce(octet_length(new.name), 0)
        + octet_length(new.metadata::text)
        + coalesce(octet_length(new.extra::text), 0);
    new.characters := coalesce(char_length(new.content), 0)
        + coalesce(char_length(new.content_parts::text), 0)
        + coalesce(char_length(new.tool_calls::text), 0);
    if new.owner_key is null then
        select public.owner_key(c.user_id) into new.owner_key from public.conversations c where c.id = new.conversation_id;
    end if;
    return new;
end
$$;
