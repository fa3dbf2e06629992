-- Stores messages at the end of a conversation: all of them or none, at adjacent positions. A message whose id is stored already, with
-- the same content, is not stored again. An id is looked for in this conversation alone. With `replaced`, the messages at that position
-- and all after it are deleted first, unless all messages are stored already.
--
-- Returns a row for each message, in their order. Returns no row where the owner has no such conversation. Where nothing may be stored,
-- one row says why. `taken` is the number, from 1, of the first message whose id is stored with another content. `allowed` is false
-- where the version is none of `if_match`. `beyond` is the position of the next message where `replaced` is behind it.
create function add_message(
    conversation uuid, owner text, if_match bigint[], ids uuid[], roles text[], contents text[], parts text[], parts_texts text[],
    tool_calls text[], tool_call_ids text[], names text[], metadata text[],
    extras text[], token_counts integer[], unfinished boolean[], characters bigint[], tokens bigint[],
    media_bytes integer[], media_tokens integer[], replaced bigint, retention integer
)
returns table (
    taken bigint, allowed boolean, replayed boolean, version bigint, "position" bigint, status text, created_at timestamptz,
    updated_at timestamptz, feedback text, beyond bigint
)
language plpgsql security definer set search_path from current set plan_cache_mode = force_generic_plan as $$
#variable_conflict use_variable
declare
    stored uuid[];
    kept uuid[];
    taken_before bigint;
    stored_in bigint;
    deleted bigint := 0;
    fresh bigint;
    first bigint;
    characters_before bigint;
    tokens_before bigint;
    changed_at timestamptz;
    owner_key bigint;
begin
    -- Writers to a conversation take turns from here on.
    select c.version, c.next_position, c.updated_at, coalesce(c.characters_appended, 0), coalesce(c.tokens_appended, 0),
        public.owner_key(c.user_id)
    into version, first, changed_at, characters_before, tokens_before, owner_key
    from public.conversations c
    where c.id = conversation and (owner is null or c.user_id = owner)
        and is_kept(c.expires_at, c.updated_at, retention)
    for update;
    if not found then
        return;
    end if;

    select
        coalesce(array_agg(old.id) filter (where old.is_same), '{}'),
        coalesce(array_agg(old.id) filter (where old.position < replaced), '{}'),
        min(old.ordinal) filter (where not old.is_same),
        min(old.ordinal) filter (where not old.is_same and old.position < replaced),
        max(old.appended_version)
    into stored, kept, taken, taken_before, stored_in
    from (
        select m.id, m.position, m.appended_version, i.ordinal,
            (m.role, m.content, m.content_parts::text, m.tool_calls::text, m.tool_call_id, m.name, m.metadata::text, m.extra::text,
                m.token_count)
            is not distinct from
            (i.role, i.content, i.content_parts, i.tool_calls, i.tool_call_id, i.name, i.metadata, i.extra, i.token_count) as is_same
        from unnest(ids, roles, contents, parts, tool_calls, tool_call_ids, names, metadata, extras, token_counts)
                with ordinality as i (id, role, content, content_parts, tool_calls, tool_call_id, name, metadata, extra, token_count, ordinal)
            join public.messages m on m.id = i.id and m.conversation_id = conversation
    ) old;
    replayed := cardinality(ids) = cardinality(stored);
    -- The answer has the version that the last of these messages was stored with. So a conditional write that follows sees what came since.
    version := case when replayed then coalesce(stored_in, 1) else version end;
    if replaced is not null and not replayed then
        -- The others of these ids are deleted before they are stored anew.
        stored := kept;
        taken := taken_before;
    end if;
    fresh := cardinality(ids) - cardinality(stored);
    allowed := replayed or if_match is null or version = any (if_match);
    beyond := case when not replayed and replaced > first then first end;
    if taken is not null or not allowed or beyond is not null then
        return next;
        return;
    end if;

    if not replayed then
        changed_at := greatest(clock_timestamp(), changed_at + interval '1 microsecond');
        if replaced is not null then
            delete from public.messages m where m.conversation_id = conversation and m.position >= replaced;
            get diagnostics deleted = row_count;
        end if;
        update public.conversations c
        set next_position = c.next_position + fresh,
            characters_appended = characters_before + added.characters,
            tokens_appended = tokens_before + added.tokens,
            message_count = c.message_count + fresh - deleted,
            version = c.version + 1,
            updated_at = changed_at,
            last_message_at = changed_at
        from (
            select sum(i.characters) as characters, sum(i.tokens) as tokens
            from unnest(ids, characters, tokens) as i (id, characters, tokens)
            where i.id <> all (stored)
        ) added
        where c.id = conversation
        returning c.version into version;
        if deleted > 0 then
            perform change_messages(conversation, replaced, version);
        end if;
        insert into public.messages (
            conversation_id, position, id, role, content, content_parts, parts_text, tool_calls, tool_call_id, name, metadata,
            extra, token_count, in_progress, characters_before, tokens_before, created_at, updated_at, size, characters, owner_key,
            appended_version, media_bytes, media_tokens
        )
        select conversation, first - 1 + row_number() over in_order, i.id, i.role, i.content, i.content_parts::json,
            i.parts_text, i.tool_calls::json, i.tool_call_id, i.name, i.metadata::json, i.extra::json, i.token_count, i.unfinished,
            characters_before + sum(i.characters) over in_order - i.characters,
            tokens_before + sum(i.tokens) over in_order - i.tokens, changed_at, changed_at,
            message_size(i.content, i.content_parts, i.tool_calls, i.tool_call_id, i.name, i.metadata, i.extra), i.characters, owner_key,
            version, i.media_bytes, i.media_tokens
        from unnest(ids, roles, contents, parts, parts_texts, tool_calls, tool_call_ids, names, metadata, extras, token_counts, unfinished, characters,
                tokens, media_bytes, media_tokens)
                with ordinality as i (
                    id, role, content, content_parts, parts_text, tool_calls, tool_call_id, name, metadata, extra, token_count, unfinished,
                    characters, tokens, media_bytes, media_tokens, ordinal
                )
        where i.id <> all (stored)
        window in_order as (order by i.ordinal rows unbounded preceding);
    end if;
    return query
    select null::bigint, true, replayed, version, m.position, message_status(m.in_progress, m.alive_at, m.updated_at), m.created_at,
        m.updated_at, m.feedback::text, null::bigint
    from unnest(ids) with ordinality as i (id, ordinal)
        join public.messages m on m.id = i.id and m.conversation_id = conversation
    order by i.ordinal;
end
$$;
