-- Stores messages at the end of a conversation: all of them or none, at adjacent positions. A message whose id is stored already, with
-- the same content, is not stored again.
--
-- Returns a row for each message, in their order. Returns no row where the owner has no such conversation. Where nothing may be stored,
-- one row says why. `taken` is the number, from 1, of the first message whose id is stored with another content. `allowed` is false
-- where the version is none of `if_match`.
create function add_message(
    conversation uuid, owner text, if_match bigint[], ids uuid[], roles text[], contents text[], parts text[], parts_texts text[],
    tool_calls text[], tool_call_ids text[], names text[], metadata text[]
)
returns table (
    taken bigint, allowed boolean, replayed boolean, version bigint, "position" bigint, created_at timestamptz,
    updated_at timestamptz
)
language plpgsql security definer set search_path from current set plan_cache_mode = force_generic_plan as $$
#variable_conflict use_variable
declare
    stored uuid[];
    fresh bigint;
    first bigint;
    changed_at timestamptz;
begin
    -- Writers to a conversation take turns from here on.
    select c.version, c.next_position, c.updated_at into version, first, changed_at
    from public.conversations c
    where c.id = conversation and (owner is null or c.user_id = owner)
    for update;
    if not found then
        return;
    end if;

    select
        coalesce(array_agg(m.id), '{}'),
        min(i.ordinal) filter (where m.conversation_id <> conversation
            or (m.role, m.content, m.content_parts::text, m.tool_calls::text, m.tool_call_id, m.name, m.metadata::text)
                is distinct from
                (i.role, i.content, i.content_parts, i.tool_calls, i.tool_call_id, i.name, i.metadata))
    into stored, taken
    from unnest(ids, roles, contents, parts, tool_calls, tool_call_ids, names, metadata)
            with ordinality as i (id, role, content, content_parts, tool_calls, tool_call_id, name, metadata, ordinal)
        join public.messages m on m.id = i.id;
    fresh := cardinality(ids) - cardinality(stored);
    replayed := fresh = 0;
    allowed := replayed or if_match is null or version = any (if_match);
    if taken is not null or not allowed then
        return next;
        return;
    end if;

    if not replayed then
        changed_at := greatest(clock_timestamp(), changed_at + interval '1 microsecond');
        update public.conversations c
        set next_position = c.next_position + fresh,
            message_count = c.message_count + fresh,
            version = c.version + 1,
            updated_at = changed_at
        where c.id = conversation
        returning c.version into version;
        insert into public.messages (
            conversation_id, position, id, role, content, content_parts, parts_text, tool_calls, tool_call_id, name, metadata,
            created_at, updated_at
        )
        select conversation, first - 1 + row_number() over (order by i.ordinal), i.id, i.role, i.content, i.content_parts::json,
            i.parts_text, i.tool_calls::json, i.tool_call_id, i.name, i.metadata::json, changed_at, changed_at
        from unnest(ids, roles, contents, parts, parts_texts, tool_calls, tool_call_ids, names, metadata)
                with ordinality as i (id, role, content, content_parts, parts_text, tool_calls, tool_call_id, name, metadata, ordinal)
        where i.id <> all (stored);
    end if;
    return query
    select null::bigint, true, replayed, version, m.position, m.created_at, m.updated_at
    from unnest(ids) with ordinality as i (id, ordinal) join public.messages m on m.id = i.id
    order by i.ordinal;
end
$$;
-- Returns no row where the owner has no such conversation. `allowed` is false where the version is none of `if_match`.
create function delete_conversation(conversation uuid, owner text, if_match bigint[])
returns table (allowed boolean)
language plpgsql security definer set search_path from current set plan_cache_mode = force_generic_plan as $$
#variable_conflict use_variable
begin
    -- Writers to a conversation take turns from here on.
    select if_match is null or c.version = any (if_match) into allowed
    from public.conversations c
    where c.id = conversation and (owner is null or c.user_id = owner)
    for update;
    if not found then
        return;
    end if;

    if allowed then
        -- The foreign key deletes the messages.
        delete from public.conversations c where c.id = conversation;
    end if;
    return next;
end
$$;
create function erase_user(of_user text)
returns table (conversations bigint, messages bigint)
language plpgsql security definer set search_path from current set plan_cache_mode = force_generic_plan as $$
#variable_conflict use_variable
begin
    -- In the order of their ids, so that two erasures of one user do not wait for each other in a circle.
    perform 1 from public.conversations c where c.user_id = of_user order by c.id for update;
    with erased as (
        -- The foreign key deletes the messages. They are counted by their conversations.
        delete from public.conversations c where c.user_id = of_user returning c.message_count
    )
    select count(*), coalesce(sum(e.message_count), 0) into conversations, messages from erased e;
    return next;
end
$$;
-- Returns no row where the owner has no such conversation, else a first row with nothing but its version. A page of its messages
-- follows, unless the caller has the version (`known`).
create function get_chat_history(
    conversation uuid, owner text, known bigint[], after bigint, before bigint, last bigint, newest_first boolean, wanted bigint,
    bytes bigint
)
returns table (
    version bigint, "position" bigint, id uuid, role text, content text, content_parts text, tool_calls text, tool_call_id text,
    name text, metadata text, created_at timestamptz, updated_at timestamptz
)
language plpgsql stable security definer set search_path from current set plan_cache_mode = force_generic_plan as $$
#variable_conflict use_variable
begin
    select c.version into version
    from public.conversations c
    where c.id = conversation and (owner is null or c.user_id = owner);
    if not found then
        return;
    end if;
    return next;
    if version = any (known) then
        return;
    end if;

    if last is not null then
        select min(newest.position) - 1 into after
        from (
            select m.position from public.messages m where m.conversation_id = conversation order by m.position desc limit last
        ) newest;
    end if;
    -- A page is one range of an index, read in the order of the answer. The running total cuts it to what a response can hold.
    if newest_first then
        return query
        select version, page.position, page.id, page.role, page.content, page.content_parts, page.tool_calls, page.tool_call_id,
            page.name, page.metadata, page.created_at, page.updated_at
        from (
            select m.position, m.id, m.role, m.content, m.content_parts::text, m.tool_calls::text, m.tool_call_id, m.name,
                m.metadata::text, m.created_at, m.updated_at,
                sum(m.size) over (order by m.position desc rows unbounded preceding) - m.size as bytes_before
            from public.messages m
            where m.conversation_id = conversation and m.position > after and m.position < before
            order by m.position desc
            limit wanted
        ) page
        where page.bytes_before <= bytes
        order by page.position desc;
    else
        return query
        select version, page.position, page.id, page.role, page.content, page.content_parts, page.tool_calls, page.tool_call_id,
            page.name, page.metadata, page.created_at, page.updated_at
        from (
            select m.position, m.id, m.role, m.content, m.content_parts::text, m.tool_calls::text, m.tool_call_id, m.name,
                m.metadata::text, m.created_at, m.updated_at,
                sum(m.size) over (order by m.position rows unbounded preceding) - m.size as bytes_before
            from public.messages m
            where m.conversation_id = conversation and m.position > after and m.position < before
            order by m.position
            limit wanted
        ) page
        where page.bytes_before <= bytes
        order by page.position;
    end if;
end
$$;
-- Returns no row where the owner has no such conversation. Each row has the conversation's version and message count, and a message
-- with its kind: 0 pinned, 1 the newest question, 2 the newest. A conversation without such messages is one row of nulls.
create function get_context(
    conversation uuid, owner text, max_messages bigint, max_characters bigint, max_bytes bigint, known bigint[]
)
returns table (
    version bigint, message_count bigint, kind integer, "position" bigint, id uuid, role text, content text, content_parts text,
    tool_calls text, tool_call_id text, name text, metadata text, created_at timestamptz, updated_at timestamptz
)
language plpgsql stable security definer set search_path from current set plan_cache_mode = force_generic_plan as $$
-- The parameters are written by their numbers, so that a bare name is a column.
#variable_conflict use_column
begin
    return query
with conversation as (
    select id as conversation, version, message_count, version <> all ($6) as wanted
    from public.conversations
    where id = $1 and ($2::text is null or user_id = $2)
), first_other as (
    -- Where the leading instructions end.
    select coalesce(min(position), 9223372036854775807) as position
    from (
        select position from public.messages
        where conversation_id = (select conversation from conversation) and role not in ('system', 'developer')
        order by position limit 1
    ) first
), spoken as (
    -- The newest message that is neither a result nor an instruction.
    select position, role = 'assistant' and (tool_calls is not null or content_parts::text like '%"tool_use"%') as may_call
    from public.messages
    where conversation_id = (select conversation from conversation where wanted)
        and (role = 'assistant' or role = 'user' and (content is not null or content_parts::text not like '%"tool_result"%'))
    order by position desc limit 1
), last_step as (
    -- Its calls may be open, and then this step is left out. So it is read in addition to the limits, and takes no room from the
    -- messages before it. There is no row if that message calls no tools, or if the step is larger than a response.
    select min(position) as position, count(*) as messages
    from (
        select position, size from public.messages
        where conversation_id = (select conversation from conversation)
            and position >= (select position from spoken where may_call)
        -- Cuts nothing: there is a limit so that the planner reads in order.
        order by position desc limit (select $5)
    ) step
    having sum(size) <= $5
), start as (
    -- Backwards from before the last step, or from the end, no further than to the message that passes a limit: null if none does. The
    -- limits of $3 and $5, here and below, are sub-selects: a planner that knows them may sort a conversation instead of reading in order.
    select position
    from (
        select position, sum(characters) over newest_first as characters, sum(size) over newest_first as size
        from public.messages
        where conversation_id = (select conversation from conversation where wanted)
            and position < coalesce((select position from last_step), 9223372036854775807)
        window newest_first as (order by position desc rows unbounded preceding)
        order by position desc limit (select $3)
    ) newest
    where characters > $4 or size > $5
    order by position desc limit 1
)
select c.version, c.message_count, part.kind, part.position, part.id, part.role, part.content, part.content_parts::text,
    part.tool_calls::text, part.tool_call_id, part.name, part.metadata::text, part.created_at, part.updated_at
from conversation c
    left join lateral (
        select *
        from (
            select 0 as kind, position, id, role, content, content_parts, tool_calls, tool_call_id, name, metadata, created_at,
                updated_at, sum(size) over (order by position rows unbounded preceding) - size as bytes_before
            from public.messages
            where c.wanted and conversation_id = c.conversation and position < (select position from first_other)
            -- Cuts nothing: there is a limit so that the planner reads in order.
            order by position limit (select $5)
        ) pinned
        where bytes_before <= $5
        union all
        (
            select 1, position, id, role, content, content_parts, tool_calls, tool_call_id, name, metadata, created_at, updated_at, 0
            from public.messages
            -- Anthropic's results come as parts of a user's message, which then is no question.
            where c.wanted and conversation_id = c.conversation and role = 'user'
                and (content is not null or content_parts::text not like '%"tool_result"%')
            order by position desc limit 1
        )
        union all
        (
            select 2, position, id, role, content, content_parts, tool_calls, tool_call_id, name, metadata, created_at, updated_at, 0
            from public.messages
            where c.wanted
                and conversation_id = c.conversation
                and position >= greatest((select position from start), (select position from first_other))
            order by position desc limit (select $3 + coalesce((select messages from last_step), 0))
        )
    ) part on true;
end
$$;
create function get_conversation(conversation uuid, owner text)
returns table (
    id uuid, user_id text, title text, metadata text, message_count bigint, created_at timestamptz, updated_at timestamptz,
    version bigint
)
language plpgsql stable security definer set search_path from current set plan_cache_mode = force_generic_plan as $$
#variable_conflict use_variable
begin
    return query
    select c.id, c.user_id, c.title, c.metadata::text, c.message_count, c.created_at, c.updated_at, c.version
    from public.conversations c
    where c.id = conversation and (owner is null or c.user_id = owner);
end
$$;
-- Finds the user's most recently updated conversation, or the one with the id where `exactly` is true. Creates it where there is none.
-- Returns no row where the id is another user's.
create function get_or_create_conversation(new_id uuid, of_user text, new_title text, new_metadata text, exactly boolean)
returns table (
    created boolean, id uuid, owner text, title text, metadata text, message_count bigint, created_at timestamptz,
    updated_at timestamptz, version bigint
)
language plpgsql security definer set search_path from current set plan_cache_mode = force_generic_plan as $$
#variable_conflict use_variable
begin
    return query
    -- A new id that is there already was stored by this request's first attempt.
    select not exactly and c.id = new_id, c.id, c.user_id, c.title, c.metadata::text, c.message_count, c.created_at, c.updated_at,
        c.version
    from public.conversations c
    where c.user_id = of_user and c.id = case when exactly then new_id else (
        select newest.id from public.conversations newest where newest.user_id = of_user
        order by newest.updated_at desc, newest.id desc limit 1
    ) end;
    if found then
        return;
    end if;

    -- Where another call creates the conversation at this moment, the insert waits for it. The update changes nothing, but returns the
    -- row of that other call.
    if exactly then
        return query
        insert into public.conversations as c (id, user_id, title, metadata) values (new_id, of_user, new_title, new_metadata::json)
        on conflict on constraint conversations_pkey do update set user_id = excluded.user_id where c.user_id = excluded.user_id
        -- Only a row that was inserted has the xmax 0.
        returning c.xmax = 0, c.id, c.user_id, c.title, c.metadata::text, c.message_count, c.created_at, c.updated_at, c.version;
    else
        return query
        insert into public.conversations as c (id, user_id, title, metadata, is_first)
        values (new_id, of_user, new_title, new_metadata::json, true)
        on conflict (user_id) where is_first do update set user_id = excluded.user_id
        returning c.id = new_id, c.id, c.user_id, c.title, c.metadata::text, c.message_count, c.created_at, c.updated_at, c.version;
    end if;
end
$$;
create function get_user_conversations(of_user text, before_time timestamptz, before_id uuid, wanted bigint, bytes bigint)
returns table (
    id uuid, user_id text, title text, metadata text, message_count bigint, created_at timestamptz, updated_at timestamptz,
    version bigint
)
language plpgsql stable security definer set search_path from current set plan_cache_mode = force_generic_plan as $$
#variable_conflict use_variable
begin
    return query
    select page.id, page.user_id, page.title, page.metadata, page.message_count, page.created_at, page.updated_at, page.version
    from (
        select c.id, c.user_id, c.title, c.metadata::text, c.message_count, c.created_at, c.updated_at, c.version,
            -- The running total cuts the page to what a response can hold.
            sum(octet_length(c.metadata::text)) over newest_first - octet_length(c.metadata::text) as bytes_before
        from public.conversations c
        where c.user_id = of_user
            and (c.updated_at, c.id)
                < (coalesce(before_time, 'infinity'), coalesce(before_id, 'ffffffff-ffff-ffff-ffff-ffffffffffff'))
        window newest_first as (order by c.updated_at desc, c.id desc rows unbounded preceding)
        order by c.updated_at desc, c.id desc
        limit wanted
    ) page
    where page.bytes_before <= bytes
    order by page.updated_at desc, page.id desc;
end
$$;
-- A JSON merge patch (RFC 7396). On json and not jsonb, so that what is not patched keeps its spelling.
create function merge_patch(target json, patch json) returns json
language plpgsql immutable as $$
begin
    if json_typeof(patch) <> 'object' then
        return patch;
    end if;
    if target is null or json_typeof(target) <> 'object' then
        target := '{}';
    end if;
    return (
        with old as (
            -- If a name is there twice, its last value counts.
            select distinct on (key) key, value, ordinal
            from json_each(target) with ordinality as member (key, value, ordinal)
            order by key, ordinal desc
        ), new as (
            select distinct on (key) key, value, ordinal
            from json_each(patch) with ordinality as member (key, value, ordinal)
            order by key, ordinal desc
        )
        -- json_object_agg would add white space, so that a patch that removes a member could make the object longer.
        select (
            '{' || coalesce(string_agg(
                to_json(key)::text || ':'
                    || case when new.value is null then old.value else merge_patch(old.value, new.value) end::text,
                ',' order by old.ordinal nulls last, new.ordinal
            ), '') || '}'
        )::json
        from old full join new using (key)
        where json_typeof(new.value) is distinct from 'null'
    );
end
$$;
-- Deletes the messages from a position on. Their positions are not used again, because `next_position` stays.
-- Returns no row where the owner has no such conversation. `allowed` is false where the version is none of `if_match`.
create function rewind_conversation(conversation uuid, owner text, operation uuid, if_match bigint[], first bigint)
returns table (allowed boolean, version bigint, deleted bigint)
language plpgsql security definer set search_path from current set plan_cache_mode = force_generic_plan as $$
#variable_conflict use_variable
declare
    done boolean;
begin
    -- Writers to a conversation take turns from here on.
    select c.version, c.last_operation is not distinct from operation, c.last_deleted into version, done, deleted
    from public.conversations c
    where c.id = conversation and (owner is null or c.user_id = owner)
    for update;
    if not found then
        return;
    end if;

    allowed := done or if_match is null or version = any (if_match);
    if allowed and not done then
        delete from public.messages m where m.conversation_id = conversation and m.position >= first;
        get diagnostics deleted = row_count;
        if deleted > 0 then
            update public.conversations c
            set message_count = c.message_count - deleted,
                version = c.version + 1,
                updated_at = greatest(clock_timestamp(), c.updated_at + interval '1 microsecond'),
                last_operation = operation,
                last_deleted = deleted
            where c.id = conversation
            returning c.version into version;
        end if;
    end if;
    return next;
end
$$;
-- Reads the messages of the user's own conversations. A message is found if all terms of one alternative hold.
create function search_messages(
    of_user text, before_time timestamptz, before_id uuid, before_position bigint, alternatives integer[], patterns text[],
    negated boolean[], wanted bigint, bytes bigint
)
returns table (
    conversation_id uuid, "position" bigint, id uuid, role text, content text, content_parts text, tool_calls text, tool_call_id text,
    name text, metadata text, created_at timestamptz, updated_at timestamptz
)
language plpgsql stable security definer set search_path from current set plan_cache_mode = force_generic_plan as $$
#variable_conflict use_variable
begin
    return query
    select m.conversation_id, m.position, m.id, m.role, m.content, m.content_parts::text, m.tool_calls::text, m.tool_call_id, m.name,
        m.metadata::text, m.created_at, m.updated_at
    from (
        -- The running total cuts the page to what a response can hold.
        select found.conversation_id, found.position, found.created_at, sum(found.size) over newest_first - found.size as bytes_before
        from (
            select m.conversation_id, m.position, m.created_at, m.size
            from public.conversations c join public.messages m on m.conversation_id = c.id
            where c.user_id = of_user
                and (m.created_at, m.conversation_id, m.position) < (
                    coalesce(before_time, 'infinity'),
                    coalesce(before_id, 'ffffffff-ffff-ffff-ffff-ffffffffffff'),
                    coalesce(before_position, 9223372036854775807)
                )
                and num_nonnulls(m.content, m.parts_text) > 0
                and exists (
                    select from unnest(alternatives, patterns, negated) as term (alternative, pattern, negated)
                    group by term.alternative
                    having bool_and((coalesce(m.content, m.parts_text) ~* term.pattern) <> term.negated)
                )
            order by m.created_at desc, m.conversation_id desc, m.position desc
            limit wanted
        ) found
        window newest_first as (
            order by found.created_at desc, found.conversation_id desc, found.position desc rows unbounded preceding
        )
    ) hit
        join public.messages m on m.conversation_id = hit.conversation_id and m.position = hit.position
    where hit.bytes_before <= bytes
    order by hit.created_at desc, hit.conversation_id desc, hit.position desc;
end
$$;
-- Returns no row where the owner has no such conversation. `allowed` is false where the version is none of `if_match`.
create function update_conversation(
    conversation uuid, owner text, operation uuid, if_match bigint[], keep_title boolean, new_title text, keep_metadata boolean,
    patch text
)
returns table (
    allowed boolean, id uuid, user_id text, title text, metadata text, message_count bigint, created_at timestamptz,
    updated_at timestamptz, version bigint
)
language plpgsql security definer set search_path from current set plan_cache_mode = force_generic_plan as $$
#variable_conflict use_variable
declare
    done boolean;
begin
    -- Writers to a conversation take turns from here on.
    select c.version, c.last_operation is not distinct from operation into version, done
    from public.conversations c
    where c.id = conversation and (owner is null or c.user_id = owner)
    for update;
    if not found then
        return;
    end if;

    allowed := done or if_match is null or version = any (if_match);
    if allowed and not done and not (keep_title and keep_metadata) then
        update public.conversations c
        set title = case when keep_title then c.title else new_title end,
            metadata = case
                when keep_metadata then c.metadata
                when patch is null then '{}'
                else merge_patch(c.metadata, patch::json)
            end,
            version = c.version + 1,
            updated_at = greatest(clock_timestamp(), c.updated_at + interval '1 microsecond'),
            last_operation = operation
        where c.id = conversation;
    end if;
    return query
    select allowed, c.id, c.user_id, c.title, c.metadata::text, c.message_count, c.created_at, c.updated_at, c.version
    from public.conversations c
    where c.id = conversation;
end
$$;
-- Returns no row where the owner has no such message. `allowed` is false where the conversation's version is none of `if_match`.
create function update_message(
    conversation uuid, owner text, message uuid, operation uuid, if_match bigint[], keep_content boolean, new_content text,
    new_parts text, new_parts_text text, keep_tool_calls boolean, new_tool_calls text, keep_metadata boolean, new_metadata text
)
returns table (
    allowed boolean, version bigint, "position" bigint, id uuid, role text, content text, content_parts text, tool_calls text, tool_call_id text,
    name text, metadata text, created_at timestamptz, updated_at timestamptz
)
language plpgsql security definer set search_path from current set plan_cache_mode = force_generic_plan as $$
#variable_conflict use_variable
declare
    done boolean;
    changed_at timestamptz;
begin
    -- Writers to a conversation take turns from here on.
    select c.version, c.last_operation is not distinct from operation, c.updated_at into version, done, changed_at
    from public.conversations c
    where c.id = conversation and (owner is null or c.user_id = owner)
    for update;
    if not found then
        return;
    end if;

    allowed := done or if_match is null or version = any (if_match);
    if allowed and not done and not (keep_content and keep_tool_calls and keep_metadata) then
        changed_at := greatest(clock_timestamp(), changed_at + interval '1 microsecond');
        update public.messages m
        set content = case when keep_content then m.content else new_content end,
            content_parts = case when keep_content then m.content_parts else new_parts::json end,
            parts_text = case when keep_content then m.parts_text else new_parts_text end,
            tool_calls = case when keep_tool_calls then m.tool_calls else new_tool_calls::json end,
            metadata = case when keep_metadata then m.metadata else coalesce(new_metadata, '{}')::json end,
            updated_at = changed_at
        where m.conversation_id = conversation and m.id = message;
        if found then
            update public.conversations c
            set version = c.version + 1, updated_at = changed_at, last_operation = operation
            where c.id = conversation
            returning c.version into version;
        end if;
    end if;
    return query
    select allowed, version, m.position, m.id, m.role, m.content, m.content_parts::text, m.tool_calls::text, m.tool_call_id, m.name,
        m.metadata::text, m.created_at, m.updated_at
    from public.messages m
    where m.conversation_id = conversation and m.id = message;
end
$$;
