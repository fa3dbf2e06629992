-- What `get_context` returns.
create type context_row as (
    version bigint, message_count bigint, kind integer, "position" bigint, id uuid, role text, content text, content_parts text,
    tool_calls text, tool_call_id text, name text, metadata text, token_count integer, status text, created_at timestamptz,
    updated_at timestamptz, extra text, feedback text,
    characters_before bigint, tokens_before bigint, summarized bigint
);

-- Returns no row where the owner has no such conversation. Each row has the conversation's version, the number of its complete messages, and
-- a message with its kind. Kind 0 is pinned, 1 is the newest question, and 2 is one of the newest. Kind 3 is the newest summary, at the
-- position up to which it stands for messages. A conversation without such messages is one row of nulls.
create function get_context(
    conversation uuid, owner text, max_messages bigint, max_characters bigint, max_bytes bigint, known text[],
    max_tokens bigint, retention integer
)
returns setof context_row
language plpgsql stable security definer set search_path from current set plan_cache_mode = force_generic_plan
-- `summaries` may be empty when the plan is made, and must not be read as a whole later.
set enable_seqscan = off as $$
-- The parameters are written by their numbers, so that a bare name is a column.
#variable_conflict use_column
begin
    return query
with conversation as (
    select id as conversation, version, version::text <> all ($6) as wanted, summary_through,
        -- What is not complete is left out everywhere.
        message_count - (select count(*) from public.messages where conversation_id = $1 and in_progress) as message_count
    from public.conversations c
    where id = $1 and is_visible(c, $2, $8)
), first_other as (
    -- Where the leading instructions end.
    select coalesce(min(position), 9223372036854775807) as position
    from (
        select position from public.messages
        where conversation_id = (select conversation from conversation) and role not in ('system', 'developer') and in_progress is not true
        order by position limit 1
    ) first
), spoken as (
    -- The newest message that is neither a result nor an instruction. Results are tool messages, or parts of any API. A message of the
    -- assistant that has calls beside results is no result.
    select position, role = 'assistant' and (tool_calls is not null or content_parts::text ~ '"(tool_use|function_call|toolCallId|functionCall|toolUse)"') as may_call
    from public.messages
    where conversation_id = (select conversation from conversation where wanted)
        and role in ('assistant', 'user') and in_progress is not true
        and (
            content_parts is null
            or content_parts::text !~ '"(tool_result|function_call_output|tool-result|functionResponse|function_response|toolResult)"'
            or role = 'assistant' and content_parts::text ~ '"(tool_use|function_call|toolCallId|functionCall|toolUse)"'
        )
    order by position desc limit 1
), last_step as (
    -- Its calls may be open, and then this step is left out. So it is read in addition to the limits, and takes no room from the
    -- messages before it. There is no row if that message calls no tools, or if the step is larger than a response.
    select min(position) as position, count(*) as messages
    from (
        select position, message_bytes(size, feedback) as size from public.messages
        where conversation_id = (select conversation from conversation)
            and position >= (select position from spoken where may_call) and in_progress is not true
        -- Cuts nothing: there is a limit so that the planner reads in order.
        order by position desc limit (select $5)
    ) step
    having sum(size) <= $5
), start as (
    -- Backwards from before the last step, or from the end, no further than to the message that passes a limit: null if none does. The
    -- limits of $3 and $5, here and below, are sub-selects: a planner that knows them may sort a conversation instead of reading in order.
    select position
    from (
        select position, sum(characters) over newest_first as characters, sum(message_bytes(size, feedback)) over newest_first as size,
            -- An estimate needs the bytes of content, calls and name. They are what `size` counts, less this. The metadata of these rows
            -- is read below anyway. Pictures and files count by what they are and not by their bytes.
            sum(
                case when $7 is null then 0
                else coalesce(
                    token_count,
                    (
                        size - coalesce(octet_length(tool_call_id), 0) - octet_length(metadata::text)
                        - coalesce(octet_length(extra::text), 0) - coalesce(media_bytes, 0) + 3
                    ) / 4 + 4 + coalesce(media_tokens, 0)
                )
                end
            ) over newest_first as tokens
        from public.messages
        where conversation_id = (select conversation from conversation where wanted)
            and position < coalesce((select position from last_step), 9223372036854775807) and in_progress is not true
        window newest_first as (order by position desc rows unbounded preceding)
        order by position desc limit (select $3)
    ) newest
    where characters > $4 or size > $5 or tokens > $7
    order by position desc limit 1
)
select c.version, c.message_count, part.kind, part.position, part.id, part.role, part.content, part.content_parts::text,
    part.tool_calls::text, part.tool_call_id, part.name, part.metadata::text, part.token_count, null::text, part.created_at, part.updated_at,
    part.extra::text, part.feedback::text, part.characters_before, part.tokens_before, part.summarized
from conversation c
    left join lateral (
        select *
        from (
            select 0 as kind, position, id, role, content, content_parts, tool_calls, tool_call_id, name, metadata, token_count, created_at,
                updated_at, extra, feedback, characters_before, tokens_before, null::bigint as summarized,
                sum(message_bytes(size, feedback)) over (order by position rows unbounded preceding) - message_bytes(size, feedback) as bytes_before
            from public.messages
            where c.wanted and conversation_id = c.conversation and position < (select position from first_other) and in_progress is not true
            -- Cuts nothing: there is a limit so that the planner reads in order.
            order by position limit (select $5)
        ) pinned
        where bytes_before <= $5
        union all
        (
            -- A user's message whose parts are results is no question.
            select 1, position, id, role, content, content_parts, tool_calls, tool_call_id, name, metadata, token_count, created_at, updated_at, extra,
                feedback, characters_before, tokens_before, null, 0
            from public.messages
            where c.wanted and conversation_id = c.conversation and role = 'user' and in_progress is not true
                and (content is not null or content_parts::text !~ '"(tool_result|function_call_output|tool-result|functionResponse|function_response|toolResult)"')
            order by position desc limit 1
        )
        union all
        (
            select 2, position, id, role, content, content_parts, tool_calls, tool_call_id, name, metadata, token_count, created_at, updated_at, extra,
                feedback, characters_before, tokens_before, null, 0
            from public.messages
            where c.wanted
                and conversation_id = c.conversation
                and position >= greatest((select position from start), (select position from first_other))
                and in_progress is not true
            order by position desc limit (select $3 + coalesce((select messages from last_step), 0))
        )
        union all
        select 3, through, null, 'system', content, null, null, null, null, '{"synthetic":true}', token_count, created_at, created_at, null, null, null,
            null, messages, 0
        from public.summaries
        where c.wanted and conversation_id = c.conversation and through = c.summary_through
    ) part on true;
end
$$;
