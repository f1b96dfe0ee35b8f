"""djangorestframework."""

from django.conf import settings
from django.utils.csp import CSP
from django.utils.decorators import method_decorator
from django.views.decorators.csp import csp_override
from rest_framework import routers, serializers, throttling, viewsets
from rest_framework.decorators import action
from rest_framework.response import Response

from matrix.models import Label, Maker, Product


class MakerSerializer(serializers.ModelSerializer):
    class Meta:
        model = Maker
        fields = ["id", "name"]


class LabelSerializer(serializers.ModelSerializer):
    class Meta:
        model = Label
        fields = ["id", "name"]


class ProductSerializer(serializers.HyperlinkedModelSerializer):
    maker = MakerSerializer(read_only=True)
    maker_id = serializers.PrimaryKeyRelatedField(
        source="maker", queryset=Maker.objects.all(), write_only=True
    )
    labels = LabelSerializer(many=True, read_only=True)

    class Meta:
        model = Product
        fields = ["url", "name", "maker", "maker_id", "labels", "price", "added"]
        extra_kwargs = {"url": {"view_name": "product-detail"}}


# As the README of a generated project says.
POLICY = {**getattr(settings, "SECURE_CSP", {}), "style-src": [CSP.SELF, CSP.UNSAFE_INLINE]}


@method_decorator(csp_override(POLICY), name="dispatch")
class ProductViewSet(viewsets.ModelViewSet):
    queryset = Product.objects.all()
    serializer_class = ProductSerializer
    filterset_fields = ["maker", "price"]
    authentication_classes = ()
    permission_classes = ()

    @action(detail=False, throttle_classes=[throttling.AnonRateThrottle])
    def limited(self, request):
        return Response({"ok": True})


throttling.AnonRateThrottle.rate = "2/hour"

router = routers.DefaultRouter()
router.register("products", ProductViewSet)
