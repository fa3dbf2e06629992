create function get_conversation(conversation uuid, owner text)
returns table (
    id uuid, user_id text, title text, metadata text, message_count bigint, created_at timestamptz, updated_at timestamptz,
    version bigint, summary_through bigint, summary_created_at timestamptz
)
language plpgsql stable security definer set search_path from current set plan_cache_mode = force_generic_plan as $$
#variable_conflict use_variable
begin
    return query
    select c.id, c.user_id, c.title, c.metadata::text, c.message_count, c.created_at, c.updated_at, c.version,
        c.summary_through, c.summary_created_at
    from public.conversations c
    where c.id = conversation and (owner is null or c.user_id = owner);
end
$$;
