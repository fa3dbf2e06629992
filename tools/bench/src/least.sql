-- The least that a stored function can do for an answer: the same tables and indexes, the same bytes, and no rule. Each has the parameters of
-- the function that it is compared with. They are for measuring only.
create schema least;

-- One update and one insert. It has no lock before them, and looks for no retry, no expiry and no version.
create function least.add_message(
    conversation uuid, owner text, if_match bigint[], ids uuid[], roles text[], contents text[], parts text[], parts_texts text[],
    tool_calls text[], tool_call_ids text[], names text[], metadata text[], extras text[], token_counts integer[],
    unfinished boolean[], characters bigint[], characters_through bigint[], tokens_through bigint[], media_bytes integer[],
    media_tokens integer[], replaced bigint, has_parent boolean, parent uuid, has_reply boolean, retention integer
)
returns table (version bigint, "position" bigint, created_at timestamptz)
language plpgsql security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan as $$
#variable_conflict use_variable
begin
    created_at := clock_timestamp();
    update public.conversations c
    set next_position = c.next_position + 1, message_count = c.message_count + 1, version = c.version + 1, updated_at = created_at,
        last_message_at = created_at, characters_appended = c.characters_appended + characters[1],
        tokens_appended = c.tokens_appended + tokens_through[1]
    where c.id = conversation and c.user_id = owner
    returning c.version, c.next_position - 1 into version, position;
    insert into public.messages (
        conversation_id, position, id, role, content, metadata, created_at, updated_at, size, characters, owner_key, appended_version,
        characters_before, tokens_before
    )
    values (
        conversation, position, ids[1], roles[1], contents[1], metadata[1]::json, created_at, created_at, octet_length(contents[1]),
        characters[1], public.owner_key(owner), version, 0, 0
    );
    return next;
end
$$;

create function least.newest(conversation uuid, owner text, wanted bigint)
returns table (
    version bigint, "position" bigint, id uuid, role text, content text, content_parts text, tool_calls text, tool_call_id text, name text,
    metadata text, token_count integer, created_at timestamptz, updated_at timestamptz, extra text, feedback text
)
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan as $$
#variable_conflict use_variable
begin
    return query
    select c.version, m.position, m.id, m.role, m.content, m.content_parts::text, m.tool_calls::text, m.tool_call_id, m.name,
        m.metadata::text, m.token_count, m.created_at, m.updated_at, m.extra::text, m.feedback::text
    from public.conversations c
        join public.messages m on m.conversation_id = c.id
    where c.id = conversation and c.user_id = owner and m.conversation_id = conversation
    order by m.position desc
    limit wanted;
end
$$;
