-- A conversation's metadata is changed by a JSON merge patch (RFC 7396). Done here, it needs no second round trip, and cannot overwrite
-- what another writer has changed in between. On json and not jsonb, so that what is not patched keeps its spelling.

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
            -- Of a name that is there twice, the last counts.
            select distinct on (key) key, value, ordinal
            from json_each(target) with ordinality as member (key, value, ordinal)
            order by key, ordinal desc
        ), new as (
            select distinct on (key) key, value, ordinal
            from json_each(patch) with ordinality as member (key, value, ordinal)
            order by key, ordinal desc
        )
        -- By hand, because json_object_agg adds white space, and a patch that takes away would make it longer.
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
