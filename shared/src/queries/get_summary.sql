-- Reads the newest summary. Returns no row where the owner has no such conversation, or where it has no summary. `unchanged` says whether the
-- caller has the answer already, because its ETag is one of `known` (null: any). Then the row has no content.
create function get_summary(conversation uuid, owner text, known text[], retention integer)
returns table (version bigint, unchanged boolean, through bigint, content text, token_count integer, created_at timestamptz)
language plpgsql stable security definer set search_path from current set plan_cache_mode = force_generic_plan
-- `summaries` may be empty when the plan is made, and must not be read as a whole later.
set enable_seqscan = off as $$
#variable_conflict use_variable
begin
    return query
    select c.version, known_to.caller, s.through, case when not known_to.caller then s.content end, s.token_count, s.created_at
    from public.conversations c
        join public.summaries s on s.conversation_id = c.id and s.through = c.summary_through
        cross join lateral (select known is null or c.version::text = any (known) as caller) known_to
    where c.id = conversation and is_visible(c, owner, retention);
end
$$;
