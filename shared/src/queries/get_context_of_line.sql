-- The context of a line that need not be the current one. `line` is the last message of the path. Returns no row where there is no such
-- message, either. It is `get_context`, with the messages of a path in the place of those of the line. So its text is made of the text of that
-- function.
do $do$
declare
    source constant text := (select p.prosrc from pg_proc p where p.oid = 'get_context'::regproc);
    -- The part that asks for the conversation and its counts.
    head constant integer := strpos(source, 'with conversation as (');
    rest constant integer := strpos(source, '), first_other as (');
    tail constant text := regexp_replace(
        substr(source, rest), 'from public\.messages\s+where',
        'from stored_messages where case when is_kept then position = any ((select path from line)::bigint[])'
            ' else position <= (select branch from line) end and',
        'g'
    );
begin
    if head = 0 or rest < head or tail ~ 'public\.messages' or tail !~ 'stored_messages' then
        raise 'get_context is not written as get_context_of_line expects it';
    end if;
    execute 'create function get_context_of_line(
            conversation uuid, owner text, max_messages bigint, max_characters bigint, max_bytes bigint, known text[],
            max_tokens bigint, retention integer, line uuid
        )
        returns setof context_row
        language plpgsql stable security definer set search_path from current set plan_cache_mode = force_generic_plan
        set enable_seqscan = off as ' || quote_literal(
        left(source, head - 1) || $body$
with line as materialized (
    select path, branch from path_to($1, $9)
), conversation as (
    select id as conversation, version, version::text <> all ($6) as wanted,
        (
            select max(through)
            from public.summaries
            where conversation_id = $1 and (
                through = any (path)
                or through <= branch and not exists (
                    select from public.kept_messages k where k.conversation_id = $1 and k.position = through
                )
            )
        ) as summary_through,
        -- What is not complete is left out everywhere.
        message_count + cardinality(path)
            - (select count(*) from public.messages where conversation_id = $1 and position > branch)
            - (select count(*) from public.messages where conversation_id = $1 and position <= branch and in_progress)
            - (select count(*) from public.kept_messages where conversation_id = $1 and position = any (path) and in_progress)
            as message_count
    from public.conversations c cross join line
    where id = $1 and is_visible(c, $2, $8)
$body$ || tail);
end
$do$;
