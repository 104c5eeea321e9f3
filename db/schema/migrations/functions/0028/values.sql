-- The values of a new build: chosen for it, kept from the build before, or the defaults. Whether a
-- parameter may have a value. The rules and their texts are those of Coder's classic parameter
-- flow. A parameter is a row of template_version_parameters, as jsonb.

CREATE FUNCTION whole_number(value text) RETURNS bigint
LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE
        WHEN value !~ '^[+-]?[0-9]{1,19}$' THEN NULL
        WHEN value::numeric BETWEEN -9223372036854775808 AND 9223372036854775807
            THEN value::bigint
    END
$$;

-- The strings of a JSON list, none for null; NULL if the value is something else.
CREATE FUNCTION list_of(value text) RETURNS text[]
LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
    items jsonb;
BEGIN
    items := value::jsonb;
    IF jsonb_typeof(items) = 'null' THEN RETURN '{}'; END IF;
    IF jsonb_typeof(items) <> 'array' OR jsonb_path_exists(items, '$[*] ? (@.type() <> "string")')
    THEN
        RETURN NULL;
    END IF;
    RETURN ARRAY(SELECT jsonb_array_elements_text(items));
EXCEPTION WHEN data_exception OR program_limit_exceeded THEN
    RETURN NULL;
END $$;

CREATE FUNCTION default_of(parameter jsonb) RETURNS text
LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE WHEN (parameter -> 'required')::boolean THEN '' ELSE parameter ->> 'default_value' END
$$;

-- The author's own error text; NULL if there is none.
CREATE FUNCTION authors_error(parameter jsonb, value text) RETURNS text
LANGUAGE sql IMMUTABLE AS $$
    SELECT nullif(replace(replace(replace(
        parameter ->> 'validation_error',
        '{min}', coalesce(parameter ->> 'validation_min', '')),
        '{max}', coalesce(parameter ->> 'validation_max', '')),
        '{value}', shortened(value)), '')
$$;

CREATE FUNCTION number_refusal(parameter jsonb, value text, previous text) RETURNS text
LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
    least CONSTANT bigint := (parameter ->> 'validation_min')::bigint;
    most CONSTANT bigint := (parameter ->> 'validation_max')::bigint;
    direction CONSTANT text := parameter ->> 'validation_monotonic';
    number CONSTANT bigint := whole_number(value);
    earlier CONSTANT bigint := whole_number(previous);
    refusal text;
BEGIN
    refusal := CASE
        WHEN number IS NULL THEN format('value %s is not a number', quoted(value))
        WHEN number < least
            THEN format('value %s is less than the minimum %s', number, least)
        WHEN number > most
            THEN format('value %s is more than the maximum %s', number, most)
    END;
    IF refusal IS NOT NULL THEN RETURN coalesce(authors_error(parameter, value), refusal); END IF;
    IF direction = 'increasing' AND number < earlier
        OR direction = 'decreasing' AND number > earlier THEN
        RETURN format(
            'parameter value ''%s'' must be equal or %s than previous value: %s', number,
            CASE direction WHEN 'increasing' THEN 'greater' ELSE 'lower' END, earlier);
    END IF;
    RETURN NULL;
END $$;

-- Why a value breaks the validation block or the type of its parameter; NULL if it does not.
CREATE FUNCTION rule_refusal(parameter jsonb, value text, previous text) RETURNS text
LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
    kind CONSTANT text := parameter ->> 'type';
    regex CONSTANT text := parameter ->> 'validation_regex';
    matching boolean;
BEGIN
    IF kind <> 'number' THEN
        IF parameter ->> 'validation_min' IS NOT NULL THEN
            RETURN format('a min cannot be specified for a %s type', kind);
        ELSIF parameter ->> 'validation_max' IS NOT NULL THEN
            RETURN format('a max cannot be specified for a %s type', kind);
        ELSIF parameter ->> 'validation_monotonic' <> '' THEN
            RETURN format('monotonic validation can only be specified for number types,'
                ' not %s types', kind);
        END IF;
    END IF;
    IF kind <> 'string' AND regex <> '' THEN
        RETURN format('a regex cannot be specified for a %s type', kind);
    END IF;
    IF kind = 'bool' AND value NOT IN ('true', 'false') THEN
        RETURN 'boolean value can be either "true" or "false"';
    ELSIF kind = 'list(string)' AND list_of(value) IS NULL THEN
        RETURN format('value %s is not valid list of strings', quoted(value));
    ELSIF kind = 'number' THEN
        RETURN number_refusal(parameter, value, previous);
    ELSIF kind = 'string' THEN
        matching := matches_pattern(regex, value);
        -- NULL: the provider judges the value in the plan.
        IF matching IS NULL THEN RETURN NULL; END IF;
        IF parameter ->> 'validation_error' = '' THEN
            RETURN 'an error must be specified with a regex validation';
        ELSIF NOT matching THEN
            RETURN format('%s (value %s does not match %s)', parameter ->> 'validation_error',
                quoted(value), quoted(regex));
        END IF;
    END IF;
    RETURN NULL;
END $$;

-- Why a value cannot be of the type of the Terraform variable that declares its parameter.
CREATE FUNCTION variable_refusal(variable_type text, value text) RETURNS text
LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
    wanted CONSTANT jsonb := read_type(variable_type);
    given jsonb := to_jsonb(value);
BEGIN
    IF value = '' OR wanted ->> 'name' IN ('string', 'any') THEN RETURN NULL; END IF;
    IF wanted ->> 'name' NOT IN ('number', 'bool') THEN
        BEGIN
            given := value::jsonb;
        EXCEPTION WHEN data_exception OR program_limit_exceeded THEN
            RETURN format('value %s is not JSON', quoted(value));
        END;
    END IF;
    RETURN 'the value ' || misfit(wanted, given);
END $$;

-- Why a parameter may not have a value; NULL if it may. An empty value stands for the default.
CREATE FUNCTION value_refusal(parameter jsonb, value text, previous text) RETURNS text
LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
    judged CONSTANT text := coalesce(nullif(value, ''), default_of(parameter), '');
    kind CONSTANT text := parameter ->> 'type';
    allowed text[];
    chosen text[];
BEGIN
    IF jsonb_typeof(parameter -> 'options') = 'array'
        AND jsonb_array_length(parameter -> 'options') > 0 THEN
        allowed := ARRAY(
            SELECT option ->> 'value' FROM jsonb_array_elements(parameter -> 'options') AS option);
        chosen := CASE WHEN parameter ->> 'form_type' = 'multi-select'
            THEN list_of(judged) ELSE ARRAY[judged] END;
        IF (chosen <@ allowed) IS NOT TRUE THEN
            RETURN format('parameter value must match one of options: [%s]',
                shortened(array_to_string(allowed, ' ')));
        END IF;
    END IF;
    IF parameter ->> 'variable_type' IS NOT NULL THEN
        RETURN variable_refusal(parameter ->> 'variable_type', judged);
    ELSIF kind IN ('bool', 'list(string)')
        OR parameter ->> 'validation_min' IS NOT NULL
        OR parameter ->> 'validation_max' IS NOT NULL
        OR parameter ->> 'validation_regex' <> ''
        OR parameter ->> 'validation_monotonic' <> '' THEN
        RETURN rule_refusal(parameter, judged, previous);
    ELSIF kind = 'number' AND judged !~*
        '^([+-]?(inf(inity)?|nan|([0-9]+\.?[0-9]*|\.[0-9]+)(e[+-]?[0-9]+)?))?$' THEN
        RETURN format('%s is not a number', quoted(judged));
    END IF;
    RETURN NULL;
END $$;

CREATE TYPE violation AS (field text, detail text, is_missing boolean);

-- What is wrong with values from outside, whatever the template declares.
CREATE FUNCTION given_violations(given jsonb) RETURNS SETOF violation
LANGUAGE sql IMMUTABLE AS $$
    WITH counted AS (SELECT count(*) AS many FROM jsonb_object_keys(given))
    SELECT '', format('%s parameters are given; at most 1000 are allowed', many), false
    FROM counted WHERE many > 1000
    UNION ALL
    SELECT left(name, 100), detail, false
    FROM counted, jsonb_each_text(given) AS every (name, value),
         LATERAL (SELECT CASE
            WHEN octet_length(name) > 1024
                THEN 'the name of a parameter has more than 1024 bytes'
            WHEN octet_length(value) > 128000
                THEN format('the value has %s bytes; at most 128000 are allowed',
                            octet_length(value)) END) AS refusal (detail)
    WHERE many <= 1000 AND detail IS NOT NULL
$$;

-- What is too large among all values of a build, those of the template included.
CREATE FUNCTION size_violations(build_values jsonb) RETURNS SETOF violation
LANGUAGE sql IMMUTABLE AS $$
    SELECT name, format('the value has %s bytes; at most 128000 are allowed',
                        octet_length(value)), false
    FROM jsonb_each_text(build_values) AS every (name, value)
    WHERE octet_length(value) > 128000
    UNION ALL
    SELECT '', format('the values of all parameters have %s bytes together;'
                      ' at most 524288 are allowed', sum(octet_length(value))), false
    FROM jsonb_each_text(build_values) AS every (name, value)
    HAVING sum(octet_length(value)) > 524288
$$;

CREATE FUNCTION refuse_values(violations violation[]) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    title text := 'Unable to validate parameters';
    details text;
    validations jsonb;
BEGIN
    IF cardinality(violations) IS NULL OR cardinality(violations) = 0 THEN RETURN; END IF;
    IF cardinality(violations) = 1 AND violations[1].field <> '' THEN
        title := format('Unable to validate parameter "%s"', violations[1].field);
    END IF;
    SELECT string_agg(detail, '; ' ORDER BY field COLLATE "C", position),
           jsonb_agg(jsonb_build_object('field', field, 'detail', detail,
                                        'is_missing', is_missing)
                     ORDER BY field COLLATE "C", position)
    INTO details, validations
    FROM unnest(violations) WITH ORDINALITY AS every (field, detail, is_missing, position);
    PERFORM refuse('PVI02', title || ': ' || details,
                   jsonb_build_object('validations', validations));
END $$;

CREATE FUNCTION is_sealed(value text) RETURNS boolean
LANGUAGE sql IMMUTABLE AS $$ SELECT coalesce(starts_with(value, 'provisionerd-sealed:'), false) $$;

-- The value of one parameter of a build, or why it may not have it.
CREATE FUNCTION resolved_value(
    parameter jsonb, chosen text, previous text, transition text,
    OUT value text, OUT refusal text, OUT is_missing boolean
) LANGUAGE plpgsql AS $$
DECLARE
    name CONSTANT text := parameter ->> 'name';
    is_required CONSTANT boolean := (parameter -> 'required')::boolean;
    is_fixed CONSTANT boolean := NOT (parameter -> 'mutable')::boolean;
    kept CONSTANT text := CASE WHEN (parameter -> 'ephemeral')::boolean
        THEN default_of(parameter) ELSE coalesce(previous, default_of(parameter)) END;
    detail text;
BEGIN
    is_missing := false;
    value := coalesce(chosen, kept);
    IF is_sealed(previous) THEN
        IF chosen IS NULL THEN RETURN; END IF;
        IF transition = 'delete' THEN
            value := kept;
            RETURN;
        END IF;
        IF is_fixed OR parameter ->> 'validation_monotonic' <> '' THEN
            PERFORM refuse('PVC07', format('the stored value of parameter "%s" is sealed, so it'
                ' cannot be compared here; enqueue the build by the HTTP API', name));
        END IF;
    END IF;
    IF is_fixed AND chosen <> previous THEN
        refusal := format('Parameter "%s" is not mutable, so it can''t be updated after creating'
            ' a workspace.', name);
    ELSIF is_required AND chosen IS NULL AND previous IS NULL THEN
        is_missing := true;
        refusal := format('Parameter "%s" is required but not provided', name);
    ELSIF chosen IS NOT NULL OR transition = 'start' THEN
        is_missing := is_required AND value = '';
        detail := CASE WHEN is_missing THEN 'parameter value is required'
                       ELSE value_refusal(parameter, value, previous) END;
        IF detail IS NOT NULL THEN
            refusal := format('can''t validate build parameter "%s": %s',
                coalesce(nullif(parameter ->> 'display_name', ''), name), detail);
        END IF;
    END IF;
    IF refusal IS NOT NULL AND transition = 'delete' THEN
        value := kept;
        refusal := NULL;
    END IF;
END $$;

CREATE FUNCTION unknown_violations(declared jsonb, given jsonb) RETURNS SETOF violation
LANGUAGE sql IMMUTABLE AS $$
    SELECT every.name, format('parameter "%s" is not present in the template; it has %s',
                        every.name, listed.names), false
    FROM jsonb_object_keys(given) AS every (name),
         LATERAL (
            SELECT coalesce(string_agg('"' || (one ->> 'name') || '"', ', ' ORDER BY position)
                       FILTER (WHERE position <= 20), 'none')
                   || CASE WHEN count(*) > 20 THEN U&', \2026' ELSE '' END AS names
            FROM jsonb_array_elements(declared) WITH ORDINALITY AS each_one (one, position)
         ) AS listed
    WHERE NOT EXISTS (
        SELECT FROM jsonb_array_elements(declared) AS one WHERE one ->> 'name' = every.name)
$$;

-- The value of every parameter of a build, defaults included. A start is judged whole. A stop keeps
-- the values that the resources were made with and is judged by what was chosen for it. A delete is
-- never refused: what may not be chosen is left out.
CREATE FUNCTION resolved_values(
    declared jsonb, given jsonb, preset jsonb, previous jsonb, transition text
) RETURNS jsonb
LANGUAGE plpgsql AS $$
DECLARE
    chosen jsonb := given || preset;
    violations violation[] := ARRAY(SELECT given_violations(given));
    resolved jsonb;
    refused violation[];
BEGIN
    IF transition = 'delete' THEN
        chosen := CASE WHEN EXISTS (
                SELECT FROM unnest(violations) AS one WHERE one.field = '')
            THEN '{}' ELSE chosen - ARRAY(SELECT one.field FROM unnest(violations) AS one) END;
    ELSE
        PERFORM refuse_values(violations);
    END IF;
    SELECT coalesce(jsonb_object_agg(parameter ->> 'name', one.value)
                    FILTER (WHERE one.refusal IS NULL), '{}'),
           array_agg(ROW(parameter ->> 'name', one.refusal, one.is_missing)::violation
                     ORDER BY position)
               FILTER (WHERE one.refusal IS NOT NULL)
    INTO resolved, refused
    FROM jsonb_array_elements(declared) WITH ORDINALITY AS every (parameter, position),
         LATERAL resolved_value(parameter, chosen ->> (parameter ->> 'name'),
                                previous ->> (parameter ->> 'name'), transition) AS one;
    IF transition = 'delete' THEN RETURN resolved; END IF;
    PERFORM refuse_values(ARRAY(SELECT unknown_violations(declared, given)) || refused);
    IF chosen <> '{}' OR transition = 'start' THEN
        PERFORM refuse_values(ARRAY(SELECT size_violations(resolved)));
    END IF;
    RETURN resolved;
END $$;

-- The values of a build: {"values", "preset_id", "others_from": the build whose other values stay}.
CREATE FUNCTION chosen_values(source jsonb, transition text, given jsonb, wanted_preset text)
RETURNS jsonb
LANGUAGE plpgsql
SET search_path = @search_path@
AS $$
DECLARE
    preset jsonb;
    resolved jsonb;
    violations violation[];
BEGIN
    IF wanted_preset <> '' THEN
        SELECT one INTO preset
        FROM jsonb_array_elements(source -> 'presets') WITH ORDINALITY AS every (one, position)
        WHERE wanted_preset IN (one ->> 'id', one ->> 'name')
        ORDER BY position LIMIT 1;
        IF preset IS NULL THEN
            PERFORM refuse('PVI01', format(
                'the template version has no preset ''%s''; it has %s', wanted_preset,
                (SELECT coalesce(string_agg(quote_literal(one ->> 'name'), ', '), 'none')
                 FROM jsonb_array_elements(source -> 'presets') AS one)));
        END IF;
    END IF;
    IF jsonb_typeof(source -> 'declared') = 'null' THEN
        -- No import has read what the version declares: the values are taken as they are.
        violations := ARRAY(SELECT given_violations(given));
        IF transition <> 'delete' THEN
            PERFORM refuse_values(violations);
        ELSIF EXISTS (SELECT FROM unnest(violations) AS one WHERE one.field = '') THEN
            given := '{}';
        END IF;
        RETURN jsonb_build_object(
            'values', given - ARRAY(SELECT one.field FROM unnest(violations) AS one),
            'preset_id', NULL, 'others_from', source -> 'values_from');
    END IF;
    resolved := resolved_values(source -> 'declared', given, coalesce(preset -> 'values', '{}'),
                                source -> 'previous_values', transition);
    IF preset IS NULL THEN
        -- Of the presets that the build has all values of, the one with the most.
        SELECT one INTO preset
        FROM jsonb_array_elements(source -> 'presets') WITH ORDINALITY AS every (one, position)
        WHERE resolved @> (one -> 'values')
        ORDER BY (SELECT count(*) FROM jsonb_object_keys(one -> 'values')) DESC, position
        LIMIT 1;
    END IF;
    RETURN jsonb_build_object('values', resolved, 'preset_id', preset -> 'id', 'others_from', NULL);
END $$;
