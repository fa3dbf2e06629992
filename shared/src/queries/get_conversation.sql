create function get_conversation(conversation uuid, owner text, retention integer) returns setof conversation_row
language plpgsql stable security definer set search_path from current set plan_cache_mode = force_generic_plan as $$
#variable_conflict use_variable
begin
    return query
    select shown.*
    from public.conversations c, conversation_row(c, null) shown
    where c.id = conversation and is_visible(c, owner, retention);
end
$$;
