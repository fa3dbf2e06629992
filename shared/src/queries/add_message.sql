-- Stores messages at the end of a conversation: all of them or none, at adjacent positions. A message whose id is stored already, with
-- the same content, is not stored again. An id is looked for in this conversation alone. With `replaced`, the messages at that position
-- and all after it are deleted first, unless all messages are stored already, and so is what is kept below them. With `has_parent`, the messages
-- follow the message `parent` (null: none), and the line moves there first. They are stored already if they stand there, one behind the other.
--
-- Returns a row for each message, in their order. Returns no row where the owner has no such conversation. Where nothing may be stored,
-- one row has an `outcome`. conflict: an id is stored with another content, and `number` is the first such message, from 1. precondition: the
-- version is none of `if_match`. beyond: `replaced` is behind the position of the next message, and `number` is that position. parent: there
-- is no such message. large: the line cannot move, because these would be `number` messages.
--
-- `characters_through[n]` and `tokens_through[n]` are the sums over the messages 1 to n. With `has_reply`, the last message is the place of a
-- reply. If all messages are stored already, it is the same reply, whatever was written into it since.
create function add_message(
    conversation uuid, owner text, if_match bigint[], ids uuid[], roles text[], contents text[], parts text[], parts_texts text[],
    tool_calls text[], tool_call_ids text[], names text[], metadata text[],
    extras text[], token_counts integer[], unfinished boolean[], characters bigint[], characters_through bigint[], tokens_through bigint[],
    media_bytes integer[], media_tokens integer[], replaced bigint, has_parent boolean, parent uuid,
    has_reply boolean, retention integer
)
returns table (
    outcome text, number bigint, replayed boolean, version bigint, "position" bigint, status text, created_at timestamptz,
    updated_at timestamptz, feedback text
)
language plpgsql security definer set search_path from current set plan_cache_mode = force_generic_plan as $$
#variable_conflict use_variable
declare
    messages constant integer := cardinality(ids);
    first bigint;
    changed_at timestamptz;
    characters_before bigint;
    tokens_before bigint;
    owner_key bigint;
    is_known boolean;
    stored uuid[] := '{}';
    before_replaced uuid[];
    -- Whether messages are kept beside the line.
    has_kept boolean;
    -- The position of the message that the new ones follow.
    place bigint;
    last_stored bigint;
    other bigint;
    other_before bigint;
    stored_in bigint;
    -- Whether the reply stands before what it answers.
    is_before boolean;
    deleted bigint := 0;
    -- If some messages are stored already, `places[n]` counts the new messages up to message n.
    places bigint[];
begin
    -- Writers to a conversation take turns from here on.
    select c.version, c.next_position, c.updated_at, coalesce(c.characters_appended, 0), coalesce(c.tokens_appended, 0),
        public.owner_key(c.user_id), coalesce(c.kept_count > 0, false)
    into version, first, changed_at, characters_before, tokens_before, owner_key, has_kept
    from public.conversations c
    where c.id = conversation and is_visible(c, owner, retention)
    for update;
    if not found then
        return;
    end if;

    -- Contents are compared only if an id is stored already, because almost no append is a retry.
    is_known := exists (select from public.messages m where m.conversation_id = conversation and m.id = any (ids));
    if has_kept and not is_known then
        is_known := exists (select from kept_among(conversation, ids));
    end if;
    if is_known then
        select
            coalesce(array_agg(old.id) filter (where old.is_same), '{}'),
            coalesce(array_agg(old.id) filter (where old.place < replaced), '{}'),
            min(old.number) filter (where not old.is_same),
            min(old.number) filter (where not old.is_same and old.place < replaced),
            max(old.appended_version),
            has_reply and max(old.position) filter (where old.number = messages) < max(old.position) filter (where old.number < messages)
        into stored, before_replaced, other, other_before, stored_in, is_before
        from (
            select m.id, m.position, m.appended_version, m.number,
                -- Where it is on the line, or where the way to it leaves the line.
                case
                    when m.is_kept then (select min(up.parent_position) from kept_path(conversation, m.position) up)
                    else m.position
                end as place,
                (m.role, m.content, m.content_parts::text, m.tool_calls::text, m.tool_call_id, m.name, m.metadata::text, m.extra::text,
                    m.token_count)
                is not distinct from
                (roles[m.number], contents[m.number], parts[m.number], tool_calls[m.number], tool_call_ids[m.number], names[m.number],
                    metadata[m.number], extras[m.number], token_counts[m.number])
                or has_reply and m.number = messages and m.role = 'assistant' as is_same
            from stored_among(conversation, ids, has_kept) m
        ) old;
    end if;
    if has_parent then
        place := case when parent is null then 0 else (select p.position from place_of(conversation, parent) p) end;
        if is_known then
            -- The stored ones are the first ones, and follow the parent, one behind the other. If the parent was deleted since, they follow
            -- another message.
            select least(other, min(old.number) filter (where old.parent_position <> old.expected)), max(old.position)
            into other, last_stored
            from (
                select n.number, one.position, one.parent_position,
                    case
                        when n.number = 1 then coalesce(place, one.parent_position)
                        when lag(n.number) over in_order = n.number - 1 then lag(one.position) over in_order
                        else -1
                    end as expected
                from unnest(ids) with ordinality as n (id, number) cross join lateral place_of(conversation, n.id) one
                window in_order as (order by n.number)
            ) old;
            place := coalesce(last_stored, place);
        end if;
    end if;
    replayed := messages = cardinality(stored) and other is null and is_before is not true;
    if replayed then
        -- The answer has the version that the last of these messages was stored with. So a conditional write that follows sees what came since.
        version := coalesce(stored_in, 1);
    else
        if replaced is not null then
            -- The others of these ids are deleted before they are stored anew.
            stored := coalesce(before_replaced, '{}');
            other := other_before;
        end if;
        if other is null and has_reply and ids[messages] = any (stored) then
            -- A reply that is there, and what it answers is not, or stands behind it.
            other := messages;
        end if;
        if other is not null then
            outcome := 'conflict';
            number := other;
        elsif not (if_match is null or version = any (if_match)) then
            outcome := 'precondition';
        elsif replaced > first then
            outcome := 'beyond';
            number := first;
        elsif has_parent and place is null then
            outcome := 'parent';
        elsif has_parent and place <> end_of_line(conversation) then
            number := move_line(conversation, place);
            outcome := case when number is not null then 'large' end;
        end if;
        if outcome is not null then
            return next;
            return;
        end if;

        if stored <> '{}' then
            select array_agg(n.place order by n.number), array_agg(n.characters order by n.number), array_agg(n.tokens order by n.number)
            into places, characters_through, tokens_through
            from (
                select n.number, sum(n.is_fresh) over in_order as place,
                    sum(n.is_fresh * characters[n.number]) over in_order as characters,
                    sum(n.is_fresh * (tokens_through[n.number] - coalesce(tokens_through[n.number - 1], 0))) over in_order as tokens
                from (
                    select one.number, case when one.id = any (stored) then 0 else 1 end as is_fresh
                    from unnest(ids) with ordinality as one (id, number)
                ) n
                window in_order as (order by n.number rows unbounded preceding)
            ) n;
        end if;
        changed_at := greatest(clock_timestamp(), changed_at + interval '1 microsecond');
        version := version + 1;
        if replaced is not null then
            delete from public.messages m where m.conversation_id = conversation and m.position >= replaced;
            get diagnostics deleted = row_count;
            if has_kept then
                perform delete_kept_below(conversation, replaced);
            end if;
        end if;
        update public.conversations c
        set next_position = first + messages - cardinality(stored),
            characters_appended = characters_before + characters_through[messages],
            tokens_appended = tokens_before + tokens_through[messages],
            message_count = c.message_count + messages - cardinality(stored) - deleted,
            version = version,
            updated_at = changed_at,
            last_message_at = changed_at
        where c.id = conversation;
        if deleted > 0 then
            perform change_messages(conversation, replaced, false, version);
        end if;
        insert into public.messages (
            conversation_id, position, id, role, content, content_parts, parts_text, tool_calls, tool_call_id, name, metadata,
            extra, token_count, in_progress, characters_before, tokens_before, created_at, updated_at, size, characters, owner_key,
            appended_version, media_bytes, media_tokens
        )
        select conversation, first - 1 + coalesce(places[n.number], n.number), ids[n.number], roles[n.number], contents[n.number],
            parts[n.number]::json, parts_texts[n.number], tool_calls[n.number]::json, tool_call_ids[n.number], names[n.number],
            metadata[n.number]::json, extras[n.number]::json, token_counts[n.number], unfinished[n.number],
            characters_before + characters_through[n.number] - characters[n.number],
            tokens_before + coalesce(tokens_through[n.number - 1], 0), changed_at, changed_at,
            message_size(
                contents[n.number], parts[n.number], tool_calls[n.number], tool_call_ids[n.number], names[n.number], metadata[n.number],
                extras[n.number]
            ),
            characters[n.number], owner_key, version, media_bytes[n.number], media_tokens[n.number]
        from generate_series(1, messages) as n (number)
        where ids[n.number] <> all (stored);
        if stored = '{}' then
            -- All messages were inserted above, so the answer needs no read.
            created_at := changed_at;
            updated_at := changed_at;
            for n in 1 .. messages loop
                position := first - 1 + n;
                status := message_status(unfinished[n], null, changed_at);
                return next;
            end loop;
            return;
        end if;
    end if;
    return query
    select null::text, null::bigint, replayed, version, m.position, message_status(m.in_progress, m.alive_at, m.updated_at), m.created_at,
        m.updated_at, m.feedback::text
    from stored_among(conversation, ids, has_kept) m
    order by m.number;
end
$$;
