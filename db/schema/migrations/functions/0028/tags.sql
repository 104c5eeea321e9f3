-- The tags of a build, which choose its workers, and the queue that they map to. Tags that a
-- template computes are expressions in a small part of HCL: texts with ${...}, numbers, true and
-- false, var.<name>, data.coder_parameter.<name>.value, ==, !=, !, &&, ||, ? : and parentheses.
-- Every value is a text.

CREATE FUNCTION misread(message text) RETURNS void
LANGUAGE sql AS $$ SELECT refuse('PVX02', message) $$;

CREATE FUNCTION unexpected(source text, place integer, token text DEFAULT '') RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    rest CONSTANT text := left(coalesce(nullif(token, ''), trim(substr(source, place))), 20);
BEGIN
    PERFORM misread(CASE WHEN rest = '' THEN 'it is incomplete'
                         ELSE format('''%s'' is not supported there', rest) END);
END $$;

-- The next token: its kind, its text and the place behind it; NULL if nothing is read there.
CREATE FUNCTION next_token(source text, INOUT place integer, OUT kind text, OUT token text)
LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
    hit CONSTANT text[] := regexp_match(substr(source, place),
        '^(\s*(?:(-?[0-9]+(?:\.[0-9]+)?)'
        '|([A-Za-z_][[:alnum:]_-]*(?:\.[A-Za-z_][[:alnum:]_-]*)*)'
        '|(")|(==|!=|&&|\|\||[!?:()}])))');
BEGIN
    place := place + length(hit[1]);
    token := coalesce(hit[2], hit[3], hit[4], hit[5]);
    kind := CASE WHEN hit[2] IS NOT NULL THEN 'number' WHEN hit[3] IS NOT NULL THEN 'name'
                 WHEN hit[4] IS NOT NULL THEN 'quote' WHEN hit[5] IS NOT NULL THEN 'sign' END;
END $$;

-- The place behind a sign if it comes next; else the same place.
CREATE FUNCTION behind_sign(source text, place integer, sign text) RETURNS integer
LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE WHEN upcoming.kind = 'sign' AND upcoming.token = sign THEN upcoming.place
                ELSE behind_sign.place END
    FROM next_token(source, behind_sign.place) AS upcoming
$$;

CREATE FUNCTION behind_expected(source text, place integer, sign text) RETURNS integer
LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
    behind CONSTANT integer := behind_sign(source, place, sign);
BEGIN
    IF behind = place THEN PERFORM unexpected(source, place); END IF;
    RETURN behind;
END $$;

CREATE FUNCTION truth(value text) RETURNS boolean
LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
    IF value NOT IN ('true', 'false') THEN
        PERFORM misread('a condition is neither true nor false');
    END IF;
    RETURN value::boolean;
END $$;

CREATE FUNCTION named_value(name text, known jsonb) RETURNS text
LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
    parameter CONSTANT text := substring(name FROM '^data\.coder_parameter\.([^.]+)\.value$');
    variable CONSTANT text := substring(name FROM '^var\.([^.]+)$');
    value text;
BEGIN
    IF parameter IS NULL AND variable IS NULL THEN
        PERFORM misread(name || ' is not known here; only var.<name> and'
            ' data.coder_parameter.<name>.value are supported');
    END IF;
    value := coalesce(known -> 'parameters' ->> parameter, known -> 'variables' ->> variable);
    IF value IS NULL THEN PERFORM misread(name || ' has no value'); END IF;
    RETURN value;
END $$;

-- A text whose opening quote has been read.
CREATE FUNCTION read_quoted(
    source text, INOUT place integer, known jsonb, depth integer, OUT value text
) LANGUAGE plpgsql IMMUTABLE AS $body$
DECLARE
    following text;
    piece text;
BEGIN
    value := '';
    WHILE substr(source, place, 1) <> '"' LOOP
        following := substr(source, place, 3);
        IF following = '' THEN PERFORM misread('a text has no closing quote'); END IF;
        IF following IN ('$${', '%%{') THEN
            piece := substr(following, 2);
            place := place + 3;
        ELSIF following LIKE '${%' THEN
            SELECT read.value, read.place INTO piece, place
            FROM read_condition(source, place + 2, known, depth) AS read;
            place := behind_expected(source, place, '}');
        ELSIF following LIKE '\%{%' THEN
            PERFORM misread('%{ } in a text is not supported');
        ELSIF following LIKE '\\%' THEN
            piece := CASE substr(following, 2, 1)
                WHEN 'n' THEN E'\n' WHEN 'r' THEN E'\r' WHEN 't' THEN E'\t'
                WHEN '"' THEN '"' WHEN '\' THEN '\' END;
            IF piece IS NULL THEN
                PERFORM misread(format('the escape \%s is not supported', substr(following, 2, 1)));
            END IF;
            place := place + 2;
        ELSE
            piece := left(following, 1);
            place := place + 1;
        END IF;
        value := value || piece;
    END LOOP;
    place := place + 1;
END $body$;

CREATE FUNCTION read_operand(
    source text, INOUT place integer, known jsonb, depth integer, OUT value text
) LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
    upcoming record;
BEGIN
    SELECT * INTO upcoming FROM next_token(source, place);
    IF upcoming.kind = 'sign' AND upcoming.token = '!' THEN
        IF depth >= 50 THEN PERFORM misread('it is nested too deeply'); END IF;
        SELECT CASE WHEN truth(read.value) THEN 'false' ELSE 'true' END, read.place
        INTO value, place
        FROM read_operand(source, upcoming.place, known, depth + 1) AS read;
    ELSIF upcoming.kind = 'sign' AND upcoming.token = '(' THEN
        SELECT read.value, behind_expected(source, read.place, ')') INTO value, place
        FROM read_condition(source, upcoming.place, known, depth) AS read;
    ELSIF upcoming.kind = 'quote' THEN
        SELECT read.value, read.place INTO value, place
        FROM read_quoted(source, upcoming.place, known, depth) AS read;
    ELSIF upcoming.kind = 'number' OR upcoming.token IN ('true', 'false') THEN
        value := upcoming.token;
        place := upcoming.place;
    ELSIF upcoming.kind = 'name' THEN
        value := named_value(upcoming.token, known);
        place := upcoming.place;
    ELSE
        PERFORM unexpected(source, place, upcoming.token);
    END IF;
END $$;

CREATE FUNCTION read_equality(
    source text, INOUT place integer, known jsonb, depth integer, OUT value text
) LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
    upcoming record;
    other record;
BEGIN
    SELECT read.value, read.place INTO value, place
    FROM read_operand(source, place, known, depth) AS read;
    SELECT * INTO upcoming FROM next_token(source, place);
    IF upcoming.kind = 'sign' AND upcoming.token IN ('==', '!=') THEN
        SELECT * INTO other FROM read_operand(source, upcoming.place, known, depth);
        value := CASE WHEN (value = other.value) = (upcoming.token = '==') THEN 'true'
                      ELSE 'false' END;
        place := other.place;
    END IF;
END $$;

-- Operands that are joined by && (all must be true) or, around them, by || (one must be).
CREATE FUNCTION read_joined(
    source text, INOUT place integer, known jsonb, depth integer, sign text, OUT value text
) LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
    behind integer;
    other text;
BEGIN
    SELECT read.value, read.place INTO value, place
    FROM read_joint(source, place, known, depth, sign) AS read;
    LOOP
        behind := behind_sign(source, place, sign);
        EXIT WHEN behind = place;
        PERFORM truth(value);
        SELECT read.value, read.place INTO other, place
        FROM read_joint(source, behind, known, depth, sign) AS read;
        PERFORM truth(other);
        value := CASE WHEN value = other THEN value WHEN sign = '||' THEN 'true'
                      ELSE 'false' END;
    END LOOP;
END $$;

CREATE FUNCTION read_joint(
    source text, INOUT place integer, known jsonb, depth integer, sign text, OUT value text
) LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
    IF sign = '||' THEN
        SELECT read.value, read.place INTO value, place
        FROM read_joined(source, place, known, depth, '&&') AS read;
    ELSE
        SELECT read.value, read.place INTO value, place
        FROM read_equality(source, place, known, depth) AS read;
    END IF;
END $$;

CREATE FUNCTION read_condition(
    source text, INOUT place integer, known jsonb, depth integer, OUT value text
) LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
    chosen record;
    other record;
    behind integer;
BEGIN
    IF depth >= 50 THEN PERFORM misread('it is nested too deeply'); END IF;
    SELECT read.value, read.place INTO value, place
    FROM read_joined(source, place, known, depth + 1, '||') AS read;
    behind := behind_sign(source, place, '?');
    IF behind <> place THEN
        SELECT * INTO chosen FROM read_condition(source, behind, known, depth + 1);
        behind := behind_expected(source, chosen.place, ':');
        SELECT * INTO other FROM read_condition(source, behind, known, depth + 1);
        value := CASE WHEN truth(value) THEN chosen.value ELSE other.value END;
        place := other.place;
    END IF;
END $$;

-- The value of an expression. Args: known is {"parameters", "variables"}.
CREATE FUNCTION expression_value(source text, known jsonb) RETURNS text
LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
    read record;
BEGIN
    IF length(source) > 4096 THEN PERFORM misread('it has more than 4096 characters'); END IF;
    SELECT * INTO read FROM read_condition(source, 1, known, 0);
    IF substr(source, read.place) !~ '^\s*$' THEN PERFORM unexpected(source, read.place); END IF;
    RETURN read.value;
END $$;

-- Values without those that are sealed: no tag may be computed from them.
CREATE FUNCTION readable(stored jsonb) RETURNS jsonb
LANGUAGE sql IMMUTABLE AS $$
    SELECT coalesce(jsonb_object_agg(name, value) FILTER (WHERE NOT is_sealed(value)), '{}')
    FROM jsonb_each_text(stored) AS every (name, value)
$$;

CREATE FUNCTION computed_tags(expressions jsonb, known jsonb) RETURNS jsonb
LANGUAGE plpgsql AS $$
DECLARE
    computed jsonb := '{}';
    tag record;
BEGIN
    IF (SELECT count(*) FROM jsonb_object_keys(expressions)) > 32 THEN
        PERFORM refuse('PVI03', 'the template computes more than 32 workspace tags');
    END IF;
    FOR tag IN SELECT key, value FROM jsonb_each_text(expressions) LOOP
        BEGIN
            computed := computed
                || jsonb_build_object(tag.key, expression_value(tag.value, known));
        EXCEPTION WHEN SQLSTATE 'PVX02' THEN
            PERFORM refuse('PVI03', format('failed to evaluate workspace tag "%s" value %s: %s',
                tag.key, left(tag.value, 200), SQLERRM));
        END;
    END LOOP;
    RETURN computed;
END $$;

-- The tags with scope and owner. Only scope=user has an owner, and it is the workspace's owner:
-- nobody can name another, whose workers have credentials of their own.
CREATE FUNCTION tags_of_owner(tags jsonb, owner_id uuid) RETURNS jsonb
LANGUAGE plpgsql AS $$
DECLARE
    scope CONSTANT text := coalesce(tags ->> 'scope', 'organization');
BEGIN
    IF EXISTS (SELECT FROM jsonb_object_keys(tags) AS key WHERE key ~ '^\s*$') THEN
        PERFORM refuse('PVI01', 'tags cannot be empty, contain the null byte (0x00) or be invalid'
            ' Unicode text');
    END IF;
    IF scope NOT IN ('organization', 'user') THEN
        PERFORM refuse('PVI01', format('the tag "scope" must be organization or user, not ''%s''',
            scope));
    END IF;
    RETURN tags || jsonb_build_object('scope', scope,
        'owner', CASE WHEN scope = 'user' THEN owner_id::text ELSE '' END);
END $$;

-- A text as a JSON literal in ASCII, as Python writes it.
CREATE FUNCTION ascii_literal(value text) RETURNS text
LANGUAGE sql IMMUTABLE AS $$
    SELECT '"' || coalesce(string_agg(CASE
            WHEN code < 127 THEN substr(escaped, 2, length(escaped) - 2)
            WHEN code < 65536 THEN '\u' || lpad(to_hex(code), 4, '0')
            ELSE '\u' || to_hex(55296 + (code - 65536) / 1024)
                 || '\u' || to_hex(56320 + (code - 65536) % 1024) END, '' ORDER BY position), '')
           || '"'
    FROM string_to_table(value, NULL) WITH ORDINALITY AS every (letter, position),
         LATERAL (SELECT ascii(letter), to_jsonb(letter)::text) AS coded (code, escaped)
$$;

-- The queue of jobs with these tags: builds if there are none but the scope.
CREATE FUNCTION queue_of(tags jsonb) RETURNS text
LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE
        WHEN tags ->> 'scope' = 'organization' AND tags - 'scope' - 'owner' = '{}' THEN 'builds'
        ELSE 'builds-' || left(encode(sha256(convert_to(
            (SELECT '{' || string_agg(ascii_literal(key) || ': ' || ascii_literal(value), ', '
                                      ORDER BY key COLLATE "C") || '}'
             FROM jsonb_each_text(tags) AS every (key, value)), 'UTF8')), 'hex'), 16)
    END
$$;

-- The tags of a build: those of the push, and over them those that are computed. A delete has the
-- tags of the build before if one cannot be.
CREATE FUNCTION build_tags(source jsonb, build_values jsonb, transition text, owner_id uuid)
RETURNS jsonb
LANGUAGE plpgsql
SET search_path = @search_path@
AS $$
BEGIN
    RETURN tags_of_owner(
        (source -> 'tags') || computed_tags(source -> 'tag_expressions', jsonb_build_object(
            'parameters', readable(build_values), 'variables', readable(source -> 'variables'))),
        owner_id);
EXCEPTION WHEN SQLSTATE 'PVI03' THEN
    IF transition <> 'delete' THEN RAISE; END IF;
    RETURN tags_of_owner(
        coalesce(nullif(source -> 'previous_tags', 'null'), source -> 'tags'), owner_id);
END $$;
